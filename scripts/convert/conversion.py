# SPDX-License-Identifier: MIT
"""One checkpoint to one GGUF file (or its parts): reads, names, writes, validates, and only then gives it its name."""

from __future__ import annotations

import glob
from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

import gguf
from split_gguf import FAT32_BYTES, SplitError, split_file

from convert.arch_gemma import GEMMA2, GEMMA3
from convert.arch_gpt2 import GPT2
from convert.arch_llama import LLAMA, QWEN2, QWEN3
from convert.arch_phi3 import PHI3
from convert.architectures import Architecture, Model, Options
from convert.checkpoint import Checkpoint, read_checkpoint
from convert.errors import ConvertError
from convert.find_vocabulary import find_vocabulary
from convert.hparams import Hparams
from convert.output import FILE_TYPES, Progress, plan, temporary, validate, write_file
from convert.vocabulary import Vocabulary

ARCHITECTURES = (LLAMA, QWEN2, QWEN3, PHI3, GEMMA2, GEMMA3, GPT2)
# What --model names besides auto, and the architectures that it may turn out to be.
MODELS = {"nanogpt": ("gpt2",), "tinyllama_chat": ("llama",)}


@dataclass(frozen=True)
class Settings:
    """What a person asks for. `vocabulary` is a file or folder to take it from, instead of the checkpoint's folder."""

    model: str = "auto"
    type: str = "f32"
    options: Options = field(default_factory=Options)
    vocabulary: Path | None = None
    no_vocabulary: bool = False
    pre: str | None = None
    name: str | None = None
    split_max_bytes: int = FAT32_BYTES
    force: bool = False


@dataclass(frozen=True)
class Done:
    """What was written."""

    files: list[Path]
    arch: str
    parameters: int
    size_bytes: int
    notes: list[str]


def no_progress(_: int) -> None:
    """For those who show none."""


def architecture_of(checkpoint: Checkpoint) -> Architecture:
    """By config.json's model_type; a checkpoint without one is a GPT-2 when its tensors have GPT-2's names."""
    model_type = checkpoint.config.get("model_type")
    # minGPT's configurations name a size (gpt-nano) under the same key.
    if any(name.endswith("h.0.attn.c_attn.weight") for name in checkpoint.tensors):
        return GPT2
    for architecture in ARCHITECTURES:
        if model_type in architecture.model_types:
            return architecture
    known = ", ".join(sorted(name for architecture in ARCHITECTURES for name in architecture.model_types))
    if model_type is None:
        raise ConvertError(
            f"{checkpoint.source}: nothing says what model this is: expected config.json with 'model_type' beside it, "
            "or the tensor names of GPT-2"
        )
    raise ConvertError(f"{checkpoint.config_source}: 'model_type' is {model_type!r}, known are: {known}")


def build_model(checkpoint: Checkpoint, settings: Settings) -> Model:
    architecture = architecture_of(checkpoint)
    allowed = MODELS.get(settings.model)
    if allowed is not None and architecture.name not in allowed:
        raise ConvertError(
            f"{checkpoint.source}: this is a {architecture.name} model, --model {settings.model} converts "
            f"{', '.join(allowed)}; say --model auto"
        )
    return architecture.build(checkpoint, Hparams(checkpoint.config, checkpoint.config_source), settings.options)


def model_name(checkpoint: Checkpoint, settings: Settings) -> str:
    if settings.name:
        return settings.name
    is_folder_name = checkpoint.is_config_json or checkpoint.source.name.endswith(".index.json")
    return checkpoint.folder.resolve().name if is_folder_name else checkpoint.source.stem


def add_all_keys(
    writer: gguf.GGUFWriter, model: Model, vocabulary: Vocabulary | None, name: str, settings: Settings
) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    model.add_keys(writer)
    writer.add_file_type(FILE_TYPES[settings.type])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    if vocabulary is not None:
        vocabulary.add_keys(writer)


def stem_of(output: Path) -> str:
    """What the parts' names begin with when an output is split."""
    return output.name.removesuffix(".gguf").removesuffix(".bin")


def output_there(output: Path) -> bool:
    """Whether there is an output of this name, whole or in parts."""
    return output.exists() or any(output.parent.glob(f"{glob.escape(stem_of(output))}-?????-of-?????.gguf"))


def check_output(output: Path, force: bool) -> None:
    if output.is_dir():
        raise ConvertError(f"{output}: is a folder, expected the name of a file to write")
    if output.exists() and not force:
        raise ConvertError(f"{output}: is there already; say --force to replace it")
    if not output.parent.is_dir():
        raise ConvertError(f"{output}: there is no folder {output.parent}")


def put_in_place(part: Path, output: Path, settings: Settings, progress: Progress) -> tuple[list[Path], list[str]]:
    """Gives the finished file its name, or its parts theirs, and what to say of that."""
    size = part.stat().st_size
    if size <= settings.split_max_bytes:
        part.replace(output)
        return [output], []
    try:
        stem, limit = stem_of(output), settings.split_max_bytes
        files = split_file(part, output.parent, limit, progress, stem=stem, force=settings.force)
    except SplitError as error:
        raise ConvertError(str(error).replace(str(part), str(output))) from error
    reason = ", as FAT32 holds no larger files" if settings.split_max_bytes == FAT32_BYTES else ""
    return files, [f"{size} bytes: split into {len(files)} files of at most {settings.split_max_bytes}{reason}"]


def convert(
    source: Path,
    output: Path,
    settings: Settings,
    progress: Progress = no_progress,
    begin: Callable[[str, int], None] = lambda what, values: None,
) -> Done:
    """Converts `source` to `output`. `begin` is told of each stage and the values that progress will count in it."""
    check_output(output, settings.force)
    checkpoint = read_checkpoint(source)
    model = build_model(checkpoint, settings)
    vocabulary = None
    if not settings.no_vocabulary:
        vocabulary = find_vocabulary(checkpoint, model.dims.vocab_size, settings.vocabulary, settings.pre)
    planned, notes = plan(model.tensors, settings.type)
    values = sum(prod(tensor.shape) for tensor in model.tensors)
    name = model_name(checkpoint, settings)
    with temporary(output) as part:
        begin("writing", values)
        write_file(
            part, model.arch, lambda writer: add_all_keys(writer, model, vocabulary, name, settings), planned, progress
        )
        begin("validating", values)
        validate(part, planned, progress)
        begin("splitting", part.stat().st_size)
        files, said = put_in_place(part, output, settings, progress)
    said += [*model.notes, *(vocabulary.notes if vocabulary else [NO_VOCABULARY]), *notes]
    return Done(files, model.arch, values, sum(file.stat().st_size for file in files), said)


NO_VOCABULARY = (
    "without a vocabulary: the chat program lists the file and says that its tokenizer is missing; it serves tests only"
)
