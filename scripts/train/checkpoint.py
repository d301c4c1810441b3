# SPDX-License-Identifier: MIT
"""Reads models whatever they are stored in: a checkpoint of train.py, a GGUF file of export.py, a llama2.c file."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import torch

from train.gguf_file import read_gguf
from train.model import Llama, Shape, load_llama2c


def load_model(path: Path) -> Llama:
    """In float32, on the CPU, ready to run."""
    if path.suffix == ".gguf":
        return read_gguf(path)
    if path.suffix == ".bin":
        return load_llama2c(path)
    state = torch.load(path, map_location="cpu")
    model = Llama(Shape(**state["shape"]))
    model.load_state_dict(state["model"])
    return model.eval()
