# SPDX-License-Identifier: MIT
"""Vocabularies that the converter takes over, held against the libraries that made them, and through the host tool."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import gguf
import pytest
import sentencepiece
import tokenizers
from checkpoints import TEMPLATE, sentencepiece_bytes, write_json
from convert.checkpoint import Checkpoint
from convert.errors import ConvertError
from convert.find_vocabulary import find_vocabulary
from convert.pre_tokenizers import GPT2, GPT4O, LLAMA3, QWEN2, TEKKEN
from convert.sentencepiece_model import read_sentencepiece
from convert.vocabulary import Vocabulary
from support import Tool, assets, gguf_vocabulary
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

Type = gguf.TokenType
WORDS = "the cat sat on the mat and the dog ate the hat of the cat that sat there in the rain, then it ran home again"
ODD = "Zürich, naïve café; 12345 + 678 = 13023. It's they've we'll\t\tdon't\n\n  x"
TEXT = "\n".join([WORDS, WORDS.upper(), ODD] * 20)
TRIALS = ("the cat", " The  cat's hat\n\n", "1234567 dogs, it'll rain!", "naïve Zürich e\u0301", "🐱 \u6771\ttab", "")


def checkpoint(folder: Path) -> Checkpoint:
    return Checkpoint(folder / "model.safetensors", folder, {}, {}, "")


def find(folder: Path, size: int, named: Path | None = None, pre: str | None = None) -> Vocabulary:
    return find_vocabulary(checkpoint(folder), size, named, pre)


def write_vocabulary(path: Path, vocabulary: Vocabulary) -> Path:
    """A GGUF file with a vocabulary and nothing else."""
    writer = gguf.GGUFWriter(path, "llama")
    vocabulary.add_keys(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    return path


def ids(llmk: Tool, vocabulary: Path, text: str) -> list[int]:
    result = llmk("tokens", "-m", vocabulary, "--no-bos", stdin=text.encode())
    assert result.returncode == 0, result.stderr.decode()
    return [int(word) for word in result.stdout.split()]


# --- SentencePiece ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> sentencepiece.SentencePieceProcessor:
    """A model that the library trained, of Llama's kind."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.split("\n")),
        model_writer=model,
        vocab_size=380,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        user_defined_symbols=["<user>"],
        pad_id=3,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def test_sentencepiece_model(trained: sentencepiece.SentencePieceProcessor, llmk: Tool, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(trained.serialized_model_proto())
    size = trained.get_piece_size()
    vocabulary = find(tmp_path, size + 5)
    assert vocabulary.tokens == [trained.id_to_piece(i) for i in range(size)] + [f"[PAD{size + i}]" for i in range(5)]
    assert vocabulary.scores[:size] == [trained.get_score(i) for i in range(size)]
    kinds = {
        Type.UNKNOWN: trained.is_unknown,
        Type.CONTROL: trained.is_control,
        Type.BYTE: trained.is_byte,
        Type.UNUSED: trained.is_unused,
    }
    for i in range(size):
        named = [kind for kind, is_kind in kinds.items() if is_kind(i)]
        assert vocabulary.types[i] in (named or [Type.NORMAL, Type.USER_DEFINED]), vocabulary.tokens[i]
    assert vocabulary.types[size:] == [Type.UNUSED] * 5
    assert vocabulary.types[vocabulary.tokens.index("<user>")] == Type.USER_DEFINED
    assert vocabulary.special == {"unk": 0, "bos": 1, "eos": 2, "pad": 3}
    assert vocabulary.add_space_prefix
    file = write_vocabulary(tmp_path / "v.gguf", vocabulary)
    for text in TRIALS:
        assert ids(llmk, file, text) == trained.encode(text), text


def test_tokenizer_json_of_sentencepiece(
    trained: sentencepiece.SentencePieceProcessor, llmk: Tool, tmp_path: Path
) -> None:
    """The same model as Hugging Face spells it, BPE with a fallback to bytes; the scores are made from the merges."""
    size = trained.get_piece_size()
    pieces = [trained.id_to_piece(i) for i in range(size)]
    known = {piece: i for i, piece in enumerate(pieces) if not trained.is_byte(i)}
    pairs = []
    for piece in sorted(known, key=lambda p: -trained.get_score(known[p])):
        splits = [(piece[:i], piece[i:]) for i in range(1, len(piece))] if known[piece] > 260 else []
        whole = [s for s in splits if s[0] in known and s[1] in known]
        pairs += sorted(whole, key=lambda s: (known[s[0]], known[s[1]]))
    added = [{"id": i, "content": pieces[i], "special": i != 4, "normalized": False} for i in range(5)]
    content = {
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}]},
        "pre_tokenizer": None,
        "model": {
            "type": "BPE",
            "byte_fallback": True,
            "unk_token": "<unk>",
            "vocab": {piece: i for i, piece in enumerate(pieces)},
            "merges": [list(pair) for pair in pairs],
        },
    }
    write_json(tmp_path / "tokenizer.json", content)
    vocabulary = find(tmp_path, size)
    assert (vocabulary.kind, vocabulary.tokens, vocabulary.add_space_prefix) == ("llama", pieces, True)
    assert vocabulary.types[:6] == [Type.CONTROL] * 4 + [Type.USER_DEFINED, Type.BYTE]
    file = write_vocabulary(tmp_path / "v.gguf", vocabulary)
    for text in TRIALS:
        assert ids(llmk, file, text) == trained.encode(text), text
    content["normalizer"] = None
    write_json(tmp_path / "tokenizer.json", content)
    assert find(tmp_path, size).add_space_prefix is False


def test_what_is_declared_beside_the_model(tmp_path: Path) -> None:
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3), ("a", -1.0, 1), ("b", -2.0, 1)]
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_bytes(pieces, prefix=False))
    write_json(tmp_path / "added_tokens.json", {"<|end|>": 6, "\u2581\u2581": 5})
    config = {"2": {"content": "</s>", "special": True}, "7": {"content": "<tool>", "special": False}}
    settings = {"added_tokens_decoder": config, "bos_token": {"content": "<s>"}, "eos_token": "</s>"}
    write_json(tmp_path / "tokenizer_config.json", {**settings, "add_bos_token": False, "add_eos_token": True})
    write_json(tmp_path / "generation_config.json", {"eos_token_id": [2, 6]})
    (tmp_path / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    vocabulary = find(tmp_path, 10)
    assert vocabulary.tokens[5:] == ["  ", "<|end|>", "<tool>", "[PAD8]", "[PAD9]"]
    assert vocabulary.types[5:] == [Type.USER_DEFINED, Type.CONTROL, Type.USER_DEFINED, Type.UNUSED, Type.UNUSED]
    assert vocabulary.special == {"unk": 0, "bos": 1, "eos": 2, "eot": 6}
    assert (vocabulary.add_bos, vocabulary.add_eos, vocabulary.add_space_prefix) == (False, True, False)
    assert vocabulary.chat_template == TEMPLATE


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.model").write_bytes(sentencepiece_bytes([("a", -1.0, 1)], model_type=1))
    with pytest.raises(ConvertError, match="a model of the kind unigram, expected BPE"):
        find(tmp_path, 1)
    (tmp_path / "tokenizer.model").write_bytes(b"IQ== 0\nIg== 1\n")
    with pytest.raises(ConvertError, match="a tiktoken vocabulary"):
        find(tmp_path, 1)


# --- bytes ------------------------------------------------------------------------------------------------------------


def byte_level(folder: Path, pattern: str | None, *, nfc: bool = False, **model: Any) -> tokenizers.Tokenizer:
    """A tokenizer that the library trained, cut by a regular expression (none: as GPT-2), and its tokenizer.json."""
    made = tokenizers.Tokenizer(models.BPE())
    cut: pre_tokenizers.PreTokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    if pattern is not None:
        cut = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), cut])
    made.pre_tokenizer = cut
    made.decoder = decoders.ByteLevel()
    if nfc:
        made.normalizer = normalizers.NFC()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, show_progress=False)
    made.train_from_iterator(TEXT.split("\n"), trainer)
    made.add_special_tokens(["<|im_end|>"])
    made.add_tokens(["<tool>"])
    made.save(str(folder / "tokenizer.json"))
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"].update(model)
    write_json(folder / "tokenizer.json", content)
    return made


PATTERNS = {"gpt-2": None, "llama-bpe": LLAMA3, "qwen2": QWEN2, "gpt-4o": GPT4O, "tekken": TEKKEN}


@pytest.mark.parametrize("name", PATTERNS)
def test_byte_level_tokenizer_json(name: str, llmk: Tool, tmp_path: Path) -> None:
    made = byte_level(tmp_path, PATTERNS[name], nfc=name == "qwen2", ignore_merges=name in ("llama-bpe", "tekken"))
    size = made.get_vocab_size()
    vocabulary = find(tmp_path, size + 3)
    assert (vocabulary.kind, vocabulary.pre, vocabulary.ignore_merges) == ("gpt2", name, None)
    assert vocabulary.tokens[:size] == [made.id_to_token(i) for i in range(size)]
    assert vocabulary.types[size - 2 :] == [Type.CONTROL, Type.USER_DEFINED] + [Type.UNUSED] * 3
    file = write_vocabulary(tmp_path / "v.gguf", vocabulary)
    for text in TRIALS:
        assert ids(llmk, file, text) == made.encode(text).ids, text


def test_the_pair_of_files(tmp_path: Path, llmk: Tool) -> None:
    made = byte_level(tmp_path, None)
    content = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    (tmp_path / "tokenizer.json").unlink()
    merges = "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in content["model"]["merges"])
    for words, pairs in (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe")):
        write_json(tmp_path / words, content["model"]["vocab"])
        (tmp_path / pairs).write_text(merges, encoding="utf-8")
        vocabulary = find(tmp_path, len(content["model"]["vocab"]))
        assert vocabulary.pre == "gpt-2"
        file = write_vocabulary(tmp_path / "v.gguf", vocabulary)
        assert ids(llmk, file, TRIALS[2]) == made.encode(TRIALS[2]).ids
        (tmp_path / words).unlink()


def test_merges_that_are_taken_for_granted(tmp_path: Path) -> None:
    """`ignore_merges` is said where it is not what a reader takes the pre-tokenizer to mean."""
    byte_level(tmp_path, LLAMA3)
    assert find(tmp_path, 400).ignore_merges is False
    byte_level(tmp_path, QWEN2, nfc=True, ignore_merges=True)
    assert find(tmp_path, 400).ignore_merges is True


def change(folder: Path, **parts: Any) -> None:
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    write_json(folder / "tokenizer.json", {**content, **parts})


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def sequence(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(parts)}


PLAIN = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
GPT2_BYTES = {"type": "ByteLevel", "add_prefix_space": False}
DIGITS = {"type": "Digits", "individual_digits": True}
NUMBERS = {"type": "Digits", "individual_digits": False}
PUNCTUATION = {"type": "Punctuation", "behavior": "Contiguous"}
ASIAN = split("[一-龥ࠀ-一가-퟿]+")
INVERTED = {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Removed", "invert": True}
NFC = {"type": "NFC"}
STRUCTURES: dict[str, tuple[dict[str, Any], dict[str, Any] | None, str]] = {
    "gpt-2": (GPT2_BYTES, None, "gpt-2"),
    "gpt-2 spelled out": (sequence(split(GPT2), PLAIN), None, "gpt-2"),
    "mpt": (GPT2_BYTES, NFC, "mpt"),
    "smollm": (sequence(DIGITS, GPT2_BYTES), None, "smollm"),
    "command-r": (sequence(DIGITS, GPT2_BYTES), NFC, "command-r"),
    "falcon": (sequence(PUNCTUATION, GPT2_BYTES, NUMBERS, split("[0-9][0-9][0-9]")), None, "falcon"),
    "llama 3 inverted": (sequence(INVERTED, PLAIN), None, "llama-bpe"),
    "stablelm2": (sequence(split(QWEN2), PLAIN), None, "stablelm2"),
    "qwen2": (sequence(split(QWEN2), PLAIN), {"type": "Sequence", "normalizers": [NFC]}, "qwen2"),
    "deepseek-coder": (
        sequence(split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), ASIAN, DIGITS, PLAIN),
        None,
        "deepseek-coder",
    ),
    "deepseek-llm": (sequence(split("[\r\n]"), split(r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ]+"), PLAIN), None, "deepseek-llm"),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_pre_tokenizers_by_their_structure(name: str, tmp_path: Path) -> None:
    byte_level(tmp_path, None)
    cut, normalizer, expected = STRUCTURES[name]
    # In the file, line ends of these expressions are spelled as escapes of the expression.
    text = json.dumps(cut).replace("[\\r\\n]", "[\\\\r\\\\n]")
    change(tmp_path, pre_tokenizer=json.loads(text), normalizer=normalizer)
    assert find(tmp_path, 400).pre == expected


def test_others_are_refused_and_may_be_named(tmp_path: Path) -> None:
    byte_level(tmp_path, r"\p{L}+|\d")
    with pytest.raises(ConvertError, match=r"'pre_tokenizer' is none that is known: \\p\{L\}\+\|\\d then bytes; say"):
        find(tmp_path, 400)
    assert find(tmp_path, 400, pre="qwen2").pre == "qwen2"
    with pytest.raises(ConvertError, match="--pre mine: known are default, gpt-2"):
        find(tmp_path, 400, pre="mine")
    byte_level(tmp_path, LLAMA3, nfc=True)
    with pytest.raises(ConvertError, match="'normalizer' is NFC, which GGUF has no key for with the pre-tokenizer"):
        find(tmp_path, 400)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"type": "WordPiece"}, "a WordPiece tokenizer, .* expected BPE"),
        ({"type": "Unigram"}, "a Unigram tokenizer"),
        ({"merges": None}, "no 'vocab' or no 'merges'"),
        ({"merges": ["a b c"]}, "'merges' has 'a b c', expected a pair"),
        ({"vocab": {"a": 0, "b": 0}}, "ids that are no counts, far apart or not unique"),
        ({"vocab": {"a": 1 << 40}}, "ids that are no counts, far apart or not unique"),
    ],
)
def test_other_tokenizers_are_refused(model: dict[str, Any], said: str, tmp_path: Path) -> None:
    byte_level(tmp_path, None, **model)
    with pytest.raises(ConvertError, match=f"tokenizer.json: .*{said}"):
        find(tmp_path, 400)


def test_a_tokenizer_of_another_model(tmp_path: Path) -> None:
    made = byte_level(tmp_path, None)
    with pytest.raises(ConvertError, match=r"342 tokens, the model has 100 rows: another's tokenizer"):
        find(tmp_path, 100)
    # One token too many is what some published checkpoints have.
    vocabulary = find(tmp_path, made.get_vocab_size() - 1)
    assert vocabulary.notes == ["1 tokens past the model's 341 rows are left out, from '<tool>' on"]


# --- of one's own -----------------------------------------------------------------------------------------------------


def test_characters_with_merges(llmk: Tool, tmp_path: Path) -> None:
    table = {"n_base": 4, "vocab": ["a", "b", " ", "\n", "ab", "b ", "ab "], "merges": [[0, 1], [1, 2], [0, 5]]}
    write_json(tmp_path / "mine.json", table)
    vocabulary = find(tmp_path, 7, tmp_path / "mine.json")
    file = write_vocabulary(tmp_path / "v.gguf", vocabulary)
    assert ids(llmk, file, "ab b\na b ") == [6, 1, 3, 0, 2, 5]
    assert vocabulary.special == {"unk": 2}
    table["merges"] = [[0, 1], [1, 2], [0, 6]]
    write_json(tmp_path / "mine.json", table)
    with pytest.raises(ConvertError, match=r"merge 2 is \[0, 6\], which does not make token 6"):
        find(tmp_path, 7, tmp_path / "mine.json")


def test_pickled_vocabularies_are_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "meta.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    for named in (None, tmp_path / "meta.pkl"):
        with pytest.raises(ConvertError, match=r"meta\.pkl: .*is a pickle, which may hold a program and is not loaded"):
            find(tmp_path, 10, named)


# --- real ones --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["llama-spm", "gpt-2"])
def test_equal_to_the_converter_of_llama_cpp(name: str, tmp_path: Path) -> None:
    """Every token, score, type and merge of the vocabularies that llama.cpp publishes."""
    sources = {"llama-spm": {"tokenizer.model": "llama2_tokenizer.model"}}
    sources["gpt-2"] = {"encoder.json": "gpt2_encoder.json", "vocab.bpe": "gpt2_vocab.bpe"}
    for local, asset in sources[name].items():
        (tmp_path / local).symlink_to(assets() / "tokenizers" / asset)
    fields = gguf.GGUFReader(gguf_vocabulary(name)).fields
    expected = {key: fields[f"tokenizer.ggml.{key}"].contents() for key in ("tokens", "token_type", "model", "pre")}
    vocabulary = find(tmp_path, len(expected["tokens"]))
    assert vocabulary.tokens == expected["tokens"]
    assert vocabulary.types == expected["token_type"]
    assert vocabulary.kind == expected["model"]
    assert vocabulary.pre == expected["pre"]
    if name == "llama-spm":
        assert vocabulary.scores == fields["tokenizer.ggml.scores"].contents()
        assert len(read_sentencepiece(tmp_path / "tokenizer.model").pieces) == 32000
    else:
        assert vocabulary.merges == fields["tokenizer.ggml.merges"].contents()
    for key in ("bos", "eos"):
        assert vocabulary.special[key] == fields[f"tokenizer.ggml.{key}_token_id"].contents()
