"""Trains glm-small on the CPU: python -m models.glm_small.train OUT [--steps N] [--threads N] [--seed N]."""

import argparse
import json
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentencepiece import SentencePieceProcessor
from torch.nn.functional import cross_entropy
from transformers import GlmForCausalLM

from models.glm_small import checkpoint, network, vocabulary
from models.glm_small.batches import Batch, batches
from models.glm_small.chat import IGNORED_LABEL, labelled
from models.glm_small.held_out import Case, cases
from models.glm_small.optimizer import MasterWeights, learning_rate
from models.glm_small.recipe import recipe_digest

_LOG = logging.getLogger("glm_small.train")
_REPORT_STEPS = 25
_SAVE_STEPS = 200
_SHORT_ROW_TOKENS = 256


@dataclass(frozen=True)
class Plan:
    """What to train and where to put it."""

    folder: Path
    steps: int
    seed: int
    sample_per_group: int = 6


class Trainer:
    """Owns the model and its optimizer from the first step to the last."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._recipe = f"{recipe_digest()} with seed {plan.seed}"
        self._begun = _begun(plan.folder, self._recipe)
        self._vocabulary = SentencePieceProcessor(model_file=str(_vocabulary_file(plan.folder, self._begun is None)))
        torch.manual_seed(plan.seed)
        self._model = network.build(self._vocabulary)
        self._working = network.build(self._vocabulary)
        self._weights = MasterWeights(self._working)
        self._sample = cases(plan.sample_per_group, stage="development")
        self._done = 0

    def run(self) -> None:
        """Train to the last step, saving on the way, and write the Hugging Face folder."""
        self._resume()
        started, first, losses = time.monotonic(), self._done, []
        for batch in batches(self._vocabulary, self._plan.seed, first, self._plan.steps - first):
            losses.append(self._step(batch))
            if self._done % _REPORT_STEPS == 0:
                self._report(losses, (time.monotonic() - started) / (self._done - first))
                losses.clear()
            if self._done % _SAVE_STEPS == 0 or self._done == self._plan.steps:
                self._save()

    def _step(self, batch: Batch) -> float:
        ids, labels = torch.from_numpy(batch.ids), torch.from_numpy(batch.labels)
        wanted = labels != IGNORED_LABEL
        # The plain form of attention trained faster on rows of up to 60 tokens; packed rows of 256 were not compared.
        # On long rows its memory is too much.
        self._working.set_attn_implementation("eager" if ids.shape[1] <= _SHORT_ROW_TOKENS else "sdpa")
        hidden = self._working.model(
            ids, position_ids=torch.from_numpy(batch.positions), use_cache=False
        ).last_hidden_state[wanted]
        loss = cross_entropy(self._working.lm_head(hidden).float(), labels[wanted])
        torch.autograd.backward(loss)
        self._weights.step(learning_rate(self._done, self._plan.steps))
        self._done += 1
        return float(loss.item())

    def _report(self, losses: list[float], seconds_per_step: float) -> None:
        minutes_left = (self._plan.steps - self._done) * seconds_per_step / 60
        _LOG.info(
            "step %d/%d  loss %.4f  %.2f s/step  %.0f min left",
            self._done,
            self._plan.steps,
            float(np.mean(losses)),
            seconds_per_step,
            minutes_left,
        )

    def _save(self) -> None:
        state = {"step": self._done, "recipe": self._recipe, **self._weights.state()}
        checkpoint.save_state(self._plan.folder, state)
        checkpoint.save_model(self._plan.folder, self._working, self._vocabulary)
        self._model.load_state_dict(self._working.state_dict())
        _LOG.info("step %d  exact match, development set %s", self._done, json.dumps(self._exact_match()))

    def _resume(self) -> None:
        if self._begun is not None:
            self._weights.restore(self._begun)
            self._done = self._begun["step"]
            self._begun = None
            _LOG.info("resuming at step %d", self._done)

    def _exact_match(self) -> dict[str, float]:
        groups: dict[str, list[bool]] = {}
        for case in self._sample:
            groups.setdefault(f"{case.split}/{case.category}", []).append(self._answers(self._model, case))
        everything = [right for group in groups.values() for right in group]
        return {"all": _share(everything)} | {name: _share(group) for name, group in groups.items()}

    def _answers(self, model: GlmForCausalLM, case: Case) -> bool:
        # Greedy decoding gives the answer if and only if each of its tokens is the most likely one after the others.
        ids, labels = labelled(self._vocabulary, case.conversation)
        expected = torch.tensor(labels[1:])
        answered = len(self._vocabulary.encode(case.answer)) + 1
        with torch.no_grad():
            logits: Any = model(torch.tensor([ids[:-1]]), logits_to_keep=answered).logits[0]
        return bool((logits.argmax(-1) == expected[-answered:]).all())


def _share(group: list[bool]) -> float:
    return round(sum(group) / len(group), 4)


def _begun(folder: Path, recipe: str) -> dict[str, Any] | None:
    """The run in the folder, if there is one. Raises ValueError when another recipe began it.

    What another split held out may be trained now, or the reverse: weights of both would make the evaluation worthless.
    """
    state = checkpoint.load_state(folder)
    if state is not None and state["recipe"] != recipe:
        raise ValueError(f"{folder} holds a run of another recipe ({state['recipe']}, not {recipe}): use a new folder.")
    return state


def _vocabulary_file(folder: Path, fresh: bool) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return vocabulary.train(folder) if fresh else folder / "tokenizer.model"


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="folder for the checkpoint; a run in it is continued")
    parser.add_argument("--steps", type=int, default=3200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(options.threads)
    Trainer(Plan(options.out, options.steps, options.seed)).run()


if __name__ == "__main__":
    main()
