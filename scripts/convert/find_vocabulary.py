# SPDX-License-Identifier: MIT
"""Finds the vocabulary of a checkpoint among the files in its folder, or takes the one that a person names.

Special ids, flags and the chat template come from Hugging Face's tokenizer_config.json, config.json and their like, by
the `gguf` package's own reading of them, so that they are what llama.cpp's converter makes of them.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import gguf

from convert.checkpoint import Checkpoint, read_json
from convert.errors import ConvertError
from convert.other_vocabularies import PAIRS, read_own_vocabulary, read_pair, read_sentencepiece_vocabulary
from convert.sentencepiece_model import is_tiktoken
from convert.tokenizer_json import read_tokenizer_json
from convert.vocabulary import Vocabulary, added_token, put_added

# nanoGPT's meta.pkl in a form that is safe to read.
META = "meta.json"
EXPECTED = "tokenizer.model, tokenizer.json, vocab.json with merges.txt, encoder.json with vocab.bpe, or meta.json"
PICKLE = (
    "is a pickle, which may hold a program and is not loaded; where it was made, write its 'itos' with json.dump to "
    "meta.json beside it"
)
# Tokens that end a turn or a message, where a model has several ends.
END_OF_TURN = ("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endofturn|>")
END_OF_MESSAGE = ("<|eom_id|>",)


def read_text_config(folder: Path, name: str) -> dict[str, Any]:
    return read_json(folder / name) if (folder / name).is_file() else {}


def tokenizer_class(folder: Path) -> str:
    return str(read_text_config(folder, "tokenizer_config.json").get("tokenizer_class", ""))


def read_folder(folder: Path, pre: str | None) -> tuple[Vocabulary, Path] | None:
    """The vocabulary of a folder and the file that it came from; None when there is none."""
    model = folder / "tokenizer.model"
    if model.is_file() and not is_tiktoken(model):
        return read_sentencepiece_vocabulary(model), model
    if (folder / "tokenizer.json").is_file():
        return read_tokenizer_json(folder / "tokenizer.json", pre), folder / "tokenizer.json"
    for words, merges in PAIRS:
        if (folder / words).is_file() and (folder / merges).is_file():
            return read_pair(folder / words, folder / merges, pre, tokenizer_class(folder)), folder / words
    if (folder / META).is_file():
        return read_named_file(folder / META, pre), folder / META
    if model.is_file():
        return read_sentencepiece_vocabulary(model), model
    return None


def read_named_file(path: Path, pre: str | None) -> Vocabulary:
    """A file that a person names, by its content."""
    if path.suffix in (".pkl", ".pickle"):
        raise ConvertError(f"{path}: {PICKLE}")
    if path.suffix == ".model":
        return read_sentencepiece_vocabulary(path)
    for words, merges in PAIRS:
        if path.name == words and path.with_name(merges).is_file():
            return read_pair(path, path.with_name(merges), pre, "")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConvertError(f"{path}: not readable as JSON: {error}; expected {EXPECTED}") from error
    if isinstance(content, dict) and isinstance(content.get("model"), dict):
        return read_tokenizer_json(path, pre)
    return read_own_vocabulary(path, content)


def add_config_tokens(vocabulary: Vocabulary, folder: Path) -> None:
    """What is declared beside tokenizer.model. tokenizer.json has all of it."""
    for text, token_id in read_text_config(folder, "added_tokens.json").items():
        put_added(vocabulary, [added_token(token_id, {"content": text}, folder / "added_tokens.json")])
    config = folder / "tokenizer_config.json"
    decoder = read_text_config(folder, config.name).get("added_tokens_decoder", {})
    if not isinstance(decoder, dict):
        raise ConvertError(f"{config}: 'added_tokens_decoder' is {decoder!r}, expected an object")
    put_added(vocabulary, [added_token(token_id, entry, config) for token_id, entry in decoder.items()])


def special_vocabulary(folder: Path, size: int) -> gguf.SpecialVocab:
    logger = logging.getLogger("gguf.vocab")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return gguf.SpecialVocab(folder, special_token_types=("bos", "eos", "unk", "pad"), n_vocab=size)
    except (ValueError, KeyError, AttributeError, TypeError, OSError) as error:
        raise ConvertError(f"{folder}: tokenizer_config.json or its like is not readable: {error}") from error
    finally:
        logger.setLevel(level)


def end_ids(folder: Path) -> list[int]:
    """All ids that generation ends at, where a configuration lists several."""
    ids: list[int] = []
    for name in ("generation_config.json", "config.json"):
        value = read_text_config(folder, name).get("eos_token_id")
        ids += [i for i in (value if isinstance(value, list) else [value]) if isinstance(i, int)]
    return ids


def text_of(entry: object) -> str | None:
    """A token in tokenizer_config.json: its text, or an object with it."""
    text = entry.get("content") if isinstance(entry, dict) else entry
    return text if isinstance(text, str) else None


def add_specials(vocabulary: Vocabulary, folder: Path) -> None:
    """Special ids, flags and the template."""
    said = special_vocabulary(folder, len(vocabulary.tokens))
    config = read_text_config(folder, "tokenizer_config.json")
    ids = {text: i for i, text in reversed(list(enumerate(vocabulary.tokens)))}
    for name in ("bos", "eos", "unk", "pad"):
        # The package finds texts only among tokenizer.json's added tokens.
        token_id = ids.get(text_of(config.get(f"{name}_token")) or "", said.special_token_ids.get(name))
        if token_id is not None:
            vocabulary.special[name] = token_id
    for name in ("eot", "eom"):
        if name in said.special_token_ids:
            vocabulary.special[name] = said.special_token_ids[name]
    for token_id in end_ids(folder):
        text = vocabulary.tokens[token_id] if 0 <= token_id < len(vocabulary.tokens) else ""
        if token_id != vocabulary.special.get("eos"):
            for name, texts in (("eot", END_OF_TURN), ("eom", END_OF_MESSAGE)):
                if text in texts:
                    vocabulary.special.setdefault(name, token_id)
    vocabulary.add_bos = said.add_special_token.get("bos", vocabulary.add_bos)
    vocabulary.add_eos = said.add_special_token.get("eos", vocabulary.add_eos)
    blank = config.get("add_prefix_space")
    if vocabulary.kind == "llama" and isinstance(blank, bool):
        vocabulary.add_space_prefix = blank
    vocabulary.chat_template = said.chat_template or template_alone(folder)


def template_alone(folder: Path) -> str | None:
    """chat_template.jinja beside no tokenizer_config.json."""
    file = folder / "chat_template.jinja"
    try:
        return file.read_text(encoding="utf-8") if file.is_file() else None
    except (OSError, ValueError) as error:
        raise ConvertError(f"{file}: not readable as text: {error}") from error


def missing(checkpoint: Checkpoint, folder: Path) -> ConvertError:
    if (folder / "meta.pkl").is_file():
        return ConvertError(f"{folder / 'meta.pkl'}: nanoGPT's vocabulary {PICKLE}")
    return ConvertError(
        f"{checkpoint.source}: no tokenizer in {folder}, expected {EXPECTED}; name one with --vocab, or say --no-vocab "
        "for a file that only tests can use"
    )


def find_vocabulary(checkpoint: Checkpoint, vocab_size: int, named: Path | None, pre: str | None) -> Vocabulary:
    """The vocabulary with `vocab_size` tokens, as the embedding table has rows."""
    folder = checkpoint.folder if named is None else named
    if named is not None and named.is_file():
        vocabulary, source, folder = read_named_file(named, pre), named, named.parent
    elif folder.is_dir():
        found = read_folder(folder, pre)
        if found is None:
            raise missing(checkpoint, folder)
        vocabulary, source = found
    else:
        raise ConvertError(f"{folder}: there is no such file or folder (--vocab)")
    if source.suffix == ".model":
        add_config_tokens(vocabulary, folder)
    vocabulary.cut(vocab_size, source)
    vocabulary.pad(vocab_size)
    if vocabulary.is_standard:
        add_specials(vocabulary, folder)
    return vocabulary
