# SPDX-License-Identifier: MIT
"""Two that take turns, A B A B ... A: each B is held against the mean of the two A around it, so that drift cancels."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Speed = Callable[[], float]


@dataclass(frozen=True)
class Beside:
    """Medians of both, and of the ratios, with the least and the most."""

    ours: float
    theirs: float
    ratio: float
    least: float
    most: float


def beside(ours: Speed, theirs: Speed, rounds: int) -> Beside:
    mine = [ours()]
    others: list[float] = []
    for _ in range(rounds):
        others.append(theirs())
        mine.append(ours())
    return held(mine, others)


def held(ours: Sequence[float], theirs: Sequence[float]) -> Beside:
    """What was measured in turns, ours first and last."""
    ratios = [(before + after) / 2 / other for before, other, after in zip(ours[:-1], theirs, ours[1:], strict=True)]
    return Beside(
        statistics.median(ours), statistics.median(theirs), statistics.median(ratios), min(ratios), max(ratios)
    )
