# SPDX-License-Identifier: MIT
"""The loss curve of a training log as PNG."""

from __future__ import annotations

import json
from pathlib import Path


def plot_log(log: Path, out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for key, label in (("loss", "training, with dropout"), ("valid_nats_token", "validation")):
        points = [(line["step"], line[key]) for line in lines if key in line]
        if points:
            axes.plot(*zip(*points, strict=True), label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("nats a token")
    axes.set_ylim(top=4)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(out, dpi=100)
    pyplot.close(figure)
