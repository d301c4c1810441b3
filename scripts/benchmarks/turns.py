# SPDX-License-Identifier: MIT
"""Two that take turns, A B A B ... A: each B is held against the mean of the two A around it, so that drift cancels."""

from __future__ import annotations

import statistics
from collections.abc import Callable
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
    ratios: list[float] = []
    others: list[float] = []
    for _ in range(rounds):
        others.append(theirs())
        mine.append(ours())
        ratios.append((mine[-2] + mine[-1]) / 2 / others[-1])
    return Beside(
        statistics.median(mine), statistics.median(others), statistics.median(ratios), min(ratios), max(ratios)
    )
