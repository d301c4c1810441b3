# SPDX-License-Identifier: MIT
"""The results as a picture: a bar for each figure, as a share of its limit or of the peer's speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from benchmarks.results import Results, Row

WIDTH = 1000
LABEL_WIDTH = 400
BAR_HEIGHT = 14
ROW_HEIGHT = 20
MARGIN = 24
FULL_BAR = 400  # pixels of 100 %
INK = (40, 40, 40)
LINE = (200, 60, 50)
COLOURS = {
    "decode": (70, 120, 180),
    "prefill": (90, 160, 90),
    "context": (130, 110, 180),
    "load": (80, 160, 170),
    "peers": (210, 150, 60),
}
TITLES = {
    "decode": "decode, share of what the read bandwidth allows",
    "prefill": "prefill, share of the instruction set's peak",
    "context": "decode behind a context, share of what the read bandwidth allows",
    "load": "loading, share of a bare loop of reads",
    "peers": "speed as a multiple of the peer's",
}


@dataclass(frozen=True)
class Bar:
    label: str
    share: float
    text: str


def bars(section: str, rows: list[Row]) -> Iterator[Bar]:
    for row in rows:
        if section == "load":
            text = f"{row['ratio']:.0%}, {row['ours']:.0f} MB/s"
            yield Bar(f"{row['shape']} {row['type']}, {row['storage']}", row["ratio"], text)
            continue
        name = f"{row['shape']} {row['type']}, {row['set']}, {row['threads']} thread{'s' if row['threads'] > 1 else ''}"
        if section == "peers":
            yield Bar(f"{name}, {row['what']}: {row['peer']}", row["ratio"], f"{row['ratio']:.2f}")
        elif row["share"] is not None:
            behind = "".join(f", {row[key]} {key}" for key in ("prompt", "context") if key in row)
            yield Bar(name + behind, row["share"], f"{row['share']:.0%}, {row['tok_s']:.1f} tok/s")


def plot(results: Results, path: Path) -> None:
    groups = {name: list(bars(name, results.rows(name))) for name in TITLES}
    groups = {name: group for name, group in groups.items() if group}
    height = 2 * MARGIN + sum((len(group) + 2) * ROW_HEIGHT for group in groups.values())
    image = Image.new("RGB", (WIDTH, height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default()
    y = MARGIN
    for name, group in groups.items():
        draw.text((MARGIN, y), TITLES[name], fill=INK, font=font)
        y += ROW_HEIGHT
        for bar in group:
            draw.text((MARGIN, y), bar.label, fill=INK, font=font)
            # What a cache makes much faster than memory would run off the picture.
            end = LABEL_WIDTH + round(min(bar.share, 1.25) * FULL_BAR)
            draw.rectangle((LABEL_WIDTH, y, end, y + BAR_HEIGHT), fill=COLOURS[name])
            draw.text((end + 6, y), bar.text, fill=INK, font=font)
            y += ROW_HEIGHT
        line = LABEL_WIDTH + FULL_BAR
        draw.line((line, y - len(group) * ROW_HEIGHT - 2, line, y), fill=LINE)
        y += ROW_HEIGHT
    image.save(path)
