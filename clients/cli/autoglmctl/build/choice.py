"""Which of the two INT8 forms that were built and measured is taken: a rule over their figures, and nothing else.

The same figures give the same choice on every machine; docs/decisions/choosing-the-scheme.md says why it is this rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from autoglmctl.build.report import Candidate

MOST_PERPLEXITY_INCREASE = 0.01
"""Against FP32 on the same text. Perplexity is a mean over all positions, so it moves little by chance: one per cent
more is a worse model, not an unlucky text."""
MOST_AGREEMENT_LOST = 0.02
"""Of the better candidate's greedy agreement, as a fraction of positions. Agreement counts positions, so it moves by
chance: with 97 % of 800 positions, twice the standard error of a difference is 1.7 points."""
TIE = 0.03
"""Speeds nearer than this are not told apart: a second run may turn them around."""
SPEEDS = (
    ("decode", "decode_tokens_per_second"),
    ("8 rows", "decode_8_rows_tokens_per_second"),
    ("prefill", "prefill_tokens_per_second"),
)


@dataclass(frozen=True)
class Choice:
    """The candidate that is taken, and why: a sentence with the figures that decided."""

    candidate: Candidate
    reason: str


def choose(groups: Candidate, per_token: Candidate, float_perplexity: float) -> Choice:
    """Choose between the two; `float_perplexity` is FP32's on the same text.

    Who loses too much accuracy is out; then whose rows depend on their batch, if the other's do not; then the slower.
    Where speeds tie or were not measured, it is `groups`, whose finer scales are the safer choice for other texts.
    """
    pair = (groups, per_token)
    accurate = [each for each in pair if _is_accurate(each, pair, float_perplexity)]
    if not accurate:
        chosen = min(pair, key=lambda each: _increase(each, float_perplexity))
        return _by_accuracy(chosen, pair, float_perplexity, "neither keeps FP32's accuracy, it keeps more of it")
    if len(accurate) == 1:
        return _by_accuracy(accurate[0], pair, float_perplexity, "the other loses too much accuracy")
    if groups.batch_invariant != per_token.batch_invariant:
        chosen = groups if groups.batch_invariant else per_token
        return Choice(chosen, f"{chosen.scheme}: the other's rows depend on what else is in their batch.")
    return _by_speed(groups, per_token)


def relative_speed(candidate: Candidate, other: Candidate) -> float | None:
    """Return the geometric mean of the speeds of `candidate` relative to `other`; `None` if one was not measured."""
    ratios = _ratios(candidate, other)
    return math.prod(ratios) ** (1 / len(ratios)) if ratios else None


def _is_accurate(candidate: Candidate, pair: tuple[Candidate, Candidate], float_perplexity: float) -> bool:
    best = max(each.agreement.greedy_agreement for each in pair)
    near = candidate.agreement.greedy_agreement >= best - MOST_AGREEMENT_LOST
    return near and _increase(candidate, float_perplexity) <= MOST_PERPLEXITY_INCREASE


def _by_accuracy(chosen: Candidate, pair: tuple[Candidate, Candidate], float_perplexity: float, why: str) -> Choice:
    figures = "; ".join(
        f"{each.scheme}: perplexity {100 * _increase(each, float_perplexity):+.2f} %, "
        f"same most probable token {100 * each.agreement.greedy_agreement:.2f} %"
        for each in pair
    )
    return Choice(chosen, f"{chosen.scheme}: {why} ({figures}).")


def _by_speed(groups: Candidate, per_token: Candidate) -> Choice:
    relative = relative_speed(per_token, groups)
    if relative is None:
        return Choice(groups, f"{groups.scheme}: both are accurate enough, and not all speeds were measured.")
    if relative > 1 + TIE:
        return _faster(per_token, groups, relative)
    if 1 / relative > 1 + TIE:
        return _faster(groups, per_token, 1 / relative)
    why = f"{per_token.scheme} is as fast within {100 * TIE:.0f} % ({_shown(per_token, groups)}); a tie goes to groups"
    return Choice(groups, f"{groups.scheme}: {why}.")


def _faster(chosen: Candidate, other: Candidate, relative: float) -> Choice:
    shown = _shown(chosen, other)
    why = f"{relative:.2f} times as fast as {other.scheme} ({shown}), and accurate enough"
    return Choice(chosen, f"{chosen.scheme}: {why}.")


def _shown(candidate: Candidate, other: Candidate) -> str:
    ratios = zip(SPEEDS, _ratios(candidate, other), strict=True)
    return ", ".join(f"{name} {ratio:.2f}x" for (name, _), ratio in ratios)


def _ratios(candidate: Candidate, other: Candidate) -> list[float]:
    pairs = [(getattr(candidate.cost, field), getattr(other.cost, field)) for _, field in SPEEDS]
    return [] if any(None in pair for pair in pairs) else [mine / theirs for mine, theirs in pairs]


def _increase(candidate: Candidate, float_perplexity: float) -> float:
    """Return how much more perplexity it has than FP32, as a fraction; what is no number counts as the worst."""
    perplexity = candidate.cost.perplexity
    if perplexity is None or not math.isfinite(perplexity):
        return math.inf
    return perplexity / float_perplexity - 1
