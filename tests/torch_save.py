# SPDX-License-Identifier: MIT
"""Saves arrays as PyTorch checkpoints, for the tests of the converter; run with a Python that has torch.

Reads a list of jobs in JSON from standard input. Of each, `source` is an .npz, `output` the file to write, `key` where
the state dict goes (none: it is the checkpoint), `extra` what is stored beside it, `prefix` what comes before each
name; `legacy` takes the format from before torch 1.6, `evil` and `config_class` store objects.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np
import torch


class Evil:
    """Runs a command when it is unpickled by somebody careless."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return (os.system, (self.command,))


class Settings:
    """A training program's own configuration class."""


def save(spec: dict[str, Any]) -> None:
    arrays = np.load(spec["source"])
    tensors = {spec.get("prefix", "") + name: torch.from_numpy(arrays[name].copy()) for name in arrays.files}
    checkpoint: dict[str, Any] = {spec["key"]: tensors} if "key" in spec else tensors
    checkpoint |= spec.get("extra", {})
    if "evil" in spec:
        checkpoint["optimizer"] = Evil(spec["evil"])
    if "config_class" in spec:
        settings = Settings()
        settings.__dict__.update(spec["config_class"])
        checkpoint["config"] = settings
    torch.save(checkpoint, spec["output"], _use_new_zipfile_serialization=not spec.get("legacy", False))


for job in json.load(sys.stdin):
    save(job)
