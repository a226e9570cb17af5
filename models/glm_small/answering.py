"""Answers the evaluation's cases: the INT8 bundle through the daemon's own runner, FP32 through the reference."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from sentencepiece import SentencePieceProcessor

from autoglmd.model.bundle import Bundle, read_bundle
from autoglmd.model.device import choose_device
from autoglmd.model.ort_runner import OrtRunner, RunnerOptions
from models.glm_small.chat import USER, prompt
from models.glm_small.held_out import Case
from models.glm_small.reference import ReferenceModel

_ROWS = 16
_CONTEXT_TOKENS = 512
_LONGEST_ANSWER_TOKENS = 128


class BundleAnswers:
    """Decodes greedily from a bundle, several cases in a batch."""

    def __init__(self, folder: Path, threads: int) -> None:
        """Load the bundle; raises what the daemon's model room raises for a broken one."""
        self._bundle: Bundle = read_bundle(folder)
        self._vocabulary = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        device, fallback = choose_device("cpu", ())
        self._runner = OrtRunner(
            self._bundle,
            RunnerOptions(self._bundle.graph, False, device, fallback, _ROWS, _CONTEXT_TOKENS, threads),
        )

    def right(self, cases: Sequence[Case]) -> Iterator[bool]:
        """Whether greedy decoding gives each case's answer, token by token up to the one that ends it."""
        for start in range(0, len(cases), _ROWS):
            group = cases[start : start + _ROWS]
            found = self._decode([prompt(case.conversation[:-1], case.text) for case in group])
            wanted = [self._vocabulary.encode(case.answer + USER) for case in group]
            yield from (ids[: len(right)] == right for ids, right in zip(found, wanted, strict=True))

    def answers(self, prompts: Sequence[str]) -> list[str]:
        """Greedy answers to at most 16 prompts with their special tokens written out."""
        return [self._text(ids) for ids in self._decode(prompts)]

    def _decode(self, prompts: Sequence[str]) -> list[list[int]]:
        encoded = [self._vocabulary.encode(text) for text in prompts]
        tokens = np.array([self._first(row, ids) for row, ids in enumerate(encoded)], np.int64)
        lengths = np.array([len(ids) for ids in encoded], np.int64)
        answers = [[int(token)] for token in tokens]
        for step in range(_LONGEST_ANSWER_TOKENS - 1):
            if all(any(stop in answer for stop in self._bundle.eos_ids) for answer in answers):
                break
            tokens = self._runner.decode(tokens, lengths + step).argmax(axis=-1)
            for answer, token in zip(answers, tokens, strict=True):
                answer.append(int(token))
        return answers

    def _first(self, row: int, ids: list[int]) -> int:
        return int(self._runner.prefill(row, np.array(ids, np.int64), 0, final=True)[0].argmax())

    def _text(self, ids: list[int]) -> str:
        kept = itertools.takewhile(lambda token: token not in self._bundle.eos_ids, ids)
        return str(self._vocabulary.decode(list(kept)))


class CheckpointAnswers:
    """Judges an FP32 checkpoint without torch."""

    def __init__(self, folder: Path) -> None:
        self._model = ReferenceModel(folder)
        self._vocabulary = SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))

    def right(self, cases: Sequence[Case]) -> Iterator[bool]:
        """Whether greedy decoding would give each case's answer, token by token up to the one that ends it."""
        return (self._is_right(case) for case in cases)

    def _is_right(self, case: Case) -> bool:
        # Greedy decoding gives an answer if and only if each of its tokens is the likeliest one after those before.
        asked = self._vocabulary.encode(prompt(case.conversation[:-1], case.text))
        wanted = self._vocabulary.encode(case.answer + USER)
        likeliest = self._model.logits(asked + wanted[:-1], last=len(wanted)).argmax(axis=-1)
        return bool((likeliest == wanted).all())
