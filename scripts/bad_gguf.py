# SPDX-License-Identifier: MIT
"""Broken GGUF files for make_bad_models.py, each wrong in one way: numbers, lengths, metadata, tensors, parts.

One small good model of the Llama architecture, and others of other architectures; all that follow are these with a
wound. Written byte by byte: a library would refuse most of it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from reference.spm_ref import synthetic_tokenizer

U8, I8, U16, I16, U32, I32, F32, BOOL, TEXT, ARRAY, U64, I64, F64 = range(13)
VOCAB, DIM, HIDDEN, HEADS, KV_HEADS, CONTEXT = 280, 16, 24, 4, 2, 32
Q = "blk.0.attn_q.weight"
LAST = "blk.0.ffn_down.weight"
MAX64 = (1 << 64) - 1

Parts = dict[str, bytes]
# Name, data, what is wrong, words of the sentence, other files beside it.
Found = tuple[str, bytes, str, tuple[str, ...], Parts]


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


def text(value: str) -> bytes:
    data = value.encode()
    return u64(len(data)) + data


def array(element: int, count: int, elements: bytes) -> bytes:
    return u32(element) + u64(count) + elements


@dataclass
class Tensor:
    dims: list[int]  # the row's length first
    kind: int = 0
    offset: int | None = None  # None: behind the one before
    nbytes: int | None = None  # None: float32 values of `dims`


@dataclass
class File:
    magic: bytes = b"GGUF"
    version: int = 3
    alignment: int = 32
    more_tensors: int = 0
    more_pairs: int = 0
    pairs: list[tuple[str, int, bytes]] = field(default_factory=list)
    tensors: list[tuple[str, Tensor]] = field(default_factory=list)

    def set(self, key: str, kind: int, value: bytes) -> None:
        pair = (key, kind, value)
        at = next((i for i, other in enumerate(self.pairs) if other[0] == key), None)
        if at is None:
            self.pairs.append(pair)
        else:
            self.pairs[at] = pair

    def drop(self, key: str) -> None:
        self.pairs = [pair for pair in self.pairs if pair[0] != key]

    def tensor(self, name: str) -> Tensor:
        return next(tensor for other, tensor in self.tensors if other == name)

    def rename(self, name: str, other: str) -> None:
        self.tensors = [(other if each == name else each, tensor) for each, tensor in self.tensors]

    def front(self) -> bytes:
        """All in front of the padding, with the tensors' offsets."""
        counts = u64((len(self.tensors) + self.more_tensors) & MAX64) + u64((len(self.pairs) + self.more_pairs) & MAX64)
        out = self.magic + u32(self.version) + counts
        out += b"".join(text(key) + u32(kind) + value for key, kind, value in self.pairs)
        at = 0
        for name, tensor in self.tensors:
            out += text(name) + u32(len(tensor.dims)) + b"".join(map(u64, tensor.dims)) + u32(tensor.kind)
            out += u64(at if tensor.offset is None else tensor.offset)
            at += -(-self.size_of(tensor) // self.alignment) * self.alignment
        return out

    @staticmethod
    def size_of(tensor: Tensor) -> int:
        if tensor.nbytes is not None:
            return tensor.nbytes
        count = 4
        for length in tensor.dims:
            count *= length
        return count

    def data(self) -> bytes:
        front = self.front()
        out = front + bytes(-len(front) % self.alignment)
        for _, tensor in self.tensors:
            size = self.size_of(tensor)
            out += bytes(size + -size % self.alignment)
        return out


def put_vocabulary(file: File) -> None:
    tokenizer = synthetic_tokenizer(VOCAB)
    pieces = [piece.decode("latin-1").replace(" ", "\u2581") for piece in tokenizer.pieces]
    file.set("tokenizer.ggml.model", TEXT, text("llama"))
    file.set("tokenizer.ggml.tokens", ARRAY, array(TEXT, VOCAB, b"".join(map(text, pieces))))
    file.set("tokenizer.ggml.scores", ARRAY, array(F32, VOCAB, struct.pack(f"<{VOCAB}f", *tokenizer.scores)))
    types = [2, 3, 3, *([6] * 256), *([1] * (VOCAB - 259))]
    file.set("tokenizer.ggml.token_type", ARRAY, array(I32, VOCAB, struct.pack(f"<{VOCAB}i", *types)))


def model(architecture: str = "llama") -> File:
    """A model that runs, of one block."""
    file = File()
    file.set("general.architecture", TEXT, text(architecture))
    numbers = {"embedding_length": DIM, "feed_forward_length": HIDDEN, "block_count": 1, "context_length": CONTEXT}
    numbers |= {"attention.head_count": HEADS, "attention.head_count_kv": KV_HEADS}
    if architecture == "gpt2":
        numbers["attention.head_count_kv"] = HEADS
    for name, value in numbers.items():
        file.set(f"{architecture}.{name}", U32, u32(value))
    kind = "layer_norm_epsilon" if architecture == "gpt2" else "layer_norm_rms_epsilon"
    file.set(f"{architecture}.attention.{kind}", F32, struct.pack("<f", 1e-5))
    put_vocabulary(file)
    shapes: dict[str, list[int]] = {"token_embd": [DIM, VOCAB], "output_norm": [DIM]}
    block: dict[str, list[int]] = {"attn_norm": [DIM], "attn_output": [DIM, DIM], "ffn_norm": [DIM]}
    kv_dim = DIM // HEADS * KV_HEADS
    if architecture == "gpt2":
        shapes["position_embd"] = [DIM, CONTEXT]
        block |= {"attn_qkv": [DIM, 3 * DIM], "ffn_up": [DIM, HIDDEN]}
    elif architecture == "phi3":
        block |= {"attn_qkv": [DIM, DIM + 2 * kv_dim], "ffn_up": [DIM, 2 * HIDDEN]}
    else:
        block |= {"attn_q": [DIM, DIM], "attn_k": [DIM, kv_dim], "attn_v": [DIM, kv_dim]}
        block |= {"ffn_gate": [DIM, HIDDEN], "ffn_up": [DIM, HIDDEN]}
    if architecture in ("qwen3", "gemma3"):
        block |= {"attn_q_norm": [DIM // HEADS], "attn_k_norm": [DIM // HEADS]}
    if architecture in ("gemma2", "gemma3"):
        block |= {"post_attention_norm": [DIM], "post_ffw_norm": [DIM]}
    block["ffn_down"] = [HIDDEN, DIM]
    shapes |= {f"blk.0.{name}": dims for name, dims in block.items()}
    file.tensors = [(f"{name}.weight", Tensor(dims)) for name, dims in shapes.items()]
    if architecture == "qwen2":
        biases = {"attn_q": [DIM], "attn_k": [kv_dim], "attn_v": [kv_dim]}
        file.tensors += [(f"blk.0.{name}.bias", Tensor(dims)) for name, dims in biases.items()]
    return file


class Wound(Protocol):
    def __call__(self, file: File) -> object: ...


def wounded(name: str, wrong: str, words: tuple[str, ...], wound: Wound, architecture: str = "llama") -> Found:
    file = model(architecture)
    wound(file)
    return f"gguf_{name}.gguf", file.data(), wrong, tuple(word.lower() for word in words), {}


def plain(name: str, data: bytes, wrong: str, *words: str) -> Found:
    return f"gguf_{name}.gguf", data, wrong, tuple(word.lower() for word in words), {}


# --- header and lengths -----------------------------------------------------------------------------------------------


def headers() -> Iterator[Found]:
    for version in (0, 1, 4, 100):
        change = f"version is {version}"
        yield wounded(
            f"version_{version}", change, (f"version {version}",), lambda f, v=version: setattr(f, "version", v)
        )
    yield wounded("swapped", "big-endian", ("byte-swapped",), lambda f: setattr(f, "version", 3 << 24))
    yield wounded("fugg", "the magic backwards", ("byte-swapped",), lambda f: setattr(f, "magic", b"FUGG"))
    for label, more in (("huge", 1 << 60), ("max", MAX64 - 13)):
        words = ("claims", "tensors")
        yield wounded(
            f"tensors_{label}", f"{more} more tensors", words, lambda f, n=more: setattr(f, "more_tensors", n)
        )
        words = ("claims", "metadata pairs")
        yield wounded(f"pairs_{label}", f"{more} more pairs", words, lambda f, n=more: setattr(f, "more_pairs", n))
    yield wounded("tensors_one_more", "one more tensor", ("tensor",), lambda f: setattr(f, "more_tensors", 1))
    good = model()
    front, data = good.front(), good.data()
    last = front.index(LAST.encode())
    cuts = {
        "counts": (20, "ends inside the number of metadata pairs"),
        "key": (26, "metadata"),
        "pairs": (200, "metadata"),
        "tokens": (1500, "tokenizer.ggml.tokens|metadata array"),
        "name": (last + 4, "ends inside a tensor's name"),
        "dims": (last + len(LAST) + 8, "ends inside a tensor's dimension"),
        "infos": (len(front) - 4, "ends inside a tensor's offset"),
        "padding": (len(front), "leaves the file"),
        "data": (len(data) // 2, "leaves the file"),
        "last": (len(data) - 33, f"{LAST} leaves the file"),
    }
    for label, (end, said) in cuts.items():
        yield plain(f"cut_{label}", data[:end], f"ends at byte {end}", said)


# --- metadata ---------------------------------------------------------------------------------------------------------


def metadata() -> Iterator[Found]:
    def with_pair(name: str, wrong: str, words: str, key: str, kind: int, value: bytes) -> Found:
        return wounded(name, wrong, (words,), lambda f: f.set(key, kind, value))

    yield with_pair("key_empty", "a key without a name", "key of the gguf file is 0 bytes long", "", U8, b"a")
    yield with_pair("key_long", "a key of 70,000 letters", "70000 bytes long", "k" * 70_000, U8, b"a")
    yield wounded(
        "key_twice", "a key twice", ("'llama.block_count' is there twice",), lambda f: f.pairs.append(f.pairs[3])
    )
    for kind in (13, 255, (1 << 32) - 1):
        yield with_pair(f"type_{kind}", f"a value of type {kind}", f"'z' has the value type {kind}", "z", kind, b"abcd")
    element = array(13, 1, b"abcd")
    yield with_pair("type_element", "an array of type 13", "'z' has the value type 13", "z", ARRAY, element)
    for label, length in (("huge", 1 << 40), ("max", MAX64)):
        inside = "ends inside a metadata text"
        yield with_pair(f"text_{label}", f"a text of {length} bytes", inside, "z", TEXT, u64(length))
        for kind, name in ((U8, "bytes"), (U64, "words"), (TEXT, "texts"), (ARRAY, "arrays")):
            value = array(kind, length, b"")
            yield with_pair(f"{name}_{label}", f"an array of {length} {name}", "'z' claims", "z", ARRAY, value)
    value = array(U64, (1 << 61) + 1, bytes(8))
    yield with_pair("array_wrap", "an array whose size wraps to 8 bytes", "'z' claims", "z", ARRAY, value)
    value = array(TEXT, 1, u64(1 << 50))
    yield with_pair("array_text", "a text in an array of 2^50 bytes", "text in a metadata array", "z", ARRAY, value)
    deep = array(U8, 0, b"")
    for _ in range(40):
        deep = array(ARRAY, 1, deep)
    yield with_pair("nested", "arrays within arrays, 40 deep", "'z' has arrays within arrays", "z", ARRAY, deep)
    value = array(ARRAY, 2, array(U8, 1, b"a") + array(U8, 1 << 40, b""))
    yield with_pair("nested_huge", "a huge array within an array", "'z' claims", "z", ARRAY, value)
    for alignment in (0, 1, 7, 12, 1 << 31):
        is_it = f"'general.alignment' is {alignment}"
        yield with_pair(f"alignment_{alignment}", is_it, is_it, "general.alignment", U32, u32(alignment))
    is_it = "'general.alignment' is of type string"
    yield with_pair("alignment_text", "the alignment is a text", is_it, "general.alignment", TEXT, text("32"))
    apart = "expected a multiple of the alignment of 96"
    yield with_pair("alignment_other", "offsets for another alignment", apart, "general.alignment", U32, u32(96))


def numbers() -> Iterator[Found]:
    """Keys of the model that are missing, of a wrong type, or out of range."""

    def changed(name: str, key: str, kind: int, value: bytes, words: str) -> Found:
        return wounded(name, f"{key} is wrong", (words,), lambda f: f.set(key, kind, value))

    architecture = "general.architecture"
    yield wounded("arch_missing", "no architecture", (f"'{architecture}' is missing",), lambda f: f.drop(architecture))
    yield changed("arch_number", architecture, U32, u32(1), f"'{architecture}' is of type u32")
    yield changed("arch_long", architecture, TEXT, text("a" * 999), f"'{architecture}' is 999 bytes long")
    yield changed("arch_unknown", architecture, TEXT, text("mamba"), "architecture 'mamba' is not known; known are: ")
    count = "llama.block_count"
    yield wounded("blocks_missing", "no block_count", (f"'{count}' is missing or 0",), lambda f: f.drop(count))
    for label, kind, value, words in (
        ("zero", U32, u32(0), "is missing or 0"),
        ("negative", I32, struct.pack("<i", -1), "is -1, expected 0 or more"),
        ("huge", U64, u64(1 << 40), "is 1099511627776, expected at most"),
        ("text", TEXT, text("1"), "is of type string, expected an integer"),
        ("real", F32, struct.pack("<f", 1.0), "is of type f32, expected an integer"),
    ):
        yield changed(f"blocks_{label}", count, kind, value, f"'{count}' {words}")
    yield changed("blocks_two", count, U32, u32(2), "tensor blk.1.attn_norm.weight is missing")
    for key, number, words in (
        ("attention.head_count", 3, "which does not divide 'attention.head_count' (3)"),
        ("attention.head_count_kv", 3, "'llama.attention.head_count_kv' is 3, which does not divide"),
        ("attention.head_count_kv", 0, "'llama.attention.head_count_kv' is missing or 0"),
        ("attention.key_length", 7, "'llama.attention."),
        ("attention.value_length", 8, "'llama.attention.value_length' is 8"),
        ("context_length", 0, "'llama.context_length' is missing or 0"),
        ("embedding_length", 32, "token_embd.weight has 280 rows of 16 values, expected 280 of 32"),
        ("feed_forward_length", (1 << 31) - 1, "has 24 rows of 16 values, expected 2147483647 of 16"),
    ):
        yield changed(f"{key.replace('attention.', '')}_{number}", f"llama.{key}", U32, u32(number), words)
    for label, real in (("nan", float("nan")), ("inf", float("inf")), ("negative", -1.0)):
        packed = struct.pack("<f", real)
        yield changed(f"theta_{label}", "llama.rope.freq_base", F32, packed, "'llama.rope.freq_base' is ")
        key = "llama.attention.layer_norm_rms_epsilon"
        yield changed(f"epsilon_{label}", key, F32, packed, f"'{key}' is ")
    words = "'llama.rope.scaling.type' is 'spiral'"
    yield changed("rope_unknown", "llama.rope.scaling.type", TEXT, text("spiral"), words)
    words = "'llama.rope.scaling.factor' is 0"
    yield changed("rope_factor", "llama.rope.scaling.factor", F32, struct.pack("<f", 0.0), words)


def vocabularies() -> Iterator[Found]:
    def changed(name: str, key: str, kind: int, value: bytes, words: str) -> Found:
        return wounded(f"vocab_{name}", f"{key} is wrong", (words,), lambda f: f.set(key, kind, value))

    tokens, scores, types = (f"tokenizer.ggml.{name}" for name in ("tokens", "scores", "token_type"))
    yield wounded("vocab_no_tokens", "no tokens", (f"'{tokens}' is missing",), lambda f: f.drop(tokens))
    yield wounded("vocab_no_scores", "no scores", (f"'{scores}' is missing",), lambda f: f.drop(scores))
    yield changed("numbers", tokens, ARRAY, array(U32, 1, u32(1)), f"'{tokens}' is an array of u32, expected string")
    yield changed("empty", tokens, ARRAY, array(TEXT, 0, b""), f"'{tokens}' is empty")
    yield changed("one_score", scores, ARRAY, array(F32, 1, bytes(4)), f"'{scores}' has 1 elements")
    yield changed("one_type", types, ARRAY, array(I32, 1, bytes(4)), f"'{types}' has 1 elements")
    yield changed("unknown", "tokenizer.ggml.model", TEXT, text("wordpiece"), "'tokenizer.ggml.model' is 'wordpiece'")
    yield changed("merges", "tokenizer.ggml.model", TEXT, text("gpt2"), "'tokenizer.ggml.merges' is missing")
    yield changed("flag", "tokenizer.ggml.add_bos_token", BOOL, b"\2", "'tokenizer.ggml.add_bos_token' is 2")
    yield changed("template", "tokenizer.chat_template", U32, u32(1), "'tokenizer.chat_template' is of type u32")


# --- tensors ----------------------------------------------------------------------------------------------------------


def tensors() -> Iterator[Found]:
    def changed(name: str, wrong: str, words: str, **values: object) -> Found:
        def wound(file: File) -> None:
            for key, value in values.items():
                setattr(file.tensor(Q), key, value)

        return wounded(f"tensor_{name}", wrong, (words,), wound)

    def renamed(name: str, wrong: str, words: str, old: str, new: str) -> Found:
        return wounded(f"tensor_{name}", wrong, (words,), lambda f: f.rename(old, new))

    yield renamed("twice", "a tensor twice", f"'{Q}' is there twice", "blk.0.attn_k.weight", Q)
    yield renamed("unnamed", "no name", "tensor is 0 bytes long", Q, "")
    yield renamed("named", "a name of 1000 letters", "tensor is 1000 bytes long", Q, "n" * 1000)
    yield renamed("lacks", "attn_q is missing", f"tensor {Q} is missing", Q, "other")
    expert = "blk.0.ffn_gate_exps.weight"
    yield renamed("expert", "an expert", f"tensor {expert} has no part in", Q, expert)
    yield changed("flat", "no dimensions", f"{Q} has 0 dimensions", dims=[], nbytes=0)
    yield changed("deep", "five dimensions", f"{Q} has 5 dimensions", dims=[1] * 5)
    yield changed("zero", "a dimension of 0", f"dimension 1 of tensor {Q} is 0", dims=[16, 0])
    wrap = f"size of tensor {Q} overflows"
    yield changed("wrap_rows", "2^66 values", wrap, dims=[1 << 33, 1 << 33], nbytes=1024)
    yield changed("wrap_deep", "2^66 rows", wrap, dims=[1, 1 << 33, 1 << 33], nbytes=1024)
    yield changed("wrap_bytes", "2^64 bytes", "overflows 64 bits", dims=[1, 1 << 62], nbytes=1024)
    yield changed("wrap_some", "2^64 + 4 bytes", "overflows 64 bits", dims=[1, (1 << 62) + 1], nbytes=1024)
    yield changed("large", "larger than the file", f"{Q} leaves the file", dims=[1 << 33, 1], nbytes=1024)
    yield changed("shape", "another shape", f"{Q} has 16 rows of 8 values, expected 16 of 16", dims=[8, 16])
    yield changed("narrow", "half its rows", f"{Q} has 8 rows of 16 values, expected 16 of 16", dims=[16, 8])
    yield changed("over", "over its neighbour", "overlap at offset", dims=[16, 17], nbytes=1024)
    yield changed("same", "two at one place", "overlap at offset 0", offset=0)
    yield changed("odd", "an offset of 4", f"{Q} starts at 4, expected a multiple of the alignment of 32", offset=4)
    for label, offset in (("far", 1 << 40), ("wrap", (1 << 64) - 32), ("half", 1 << 63)):
        yield changed(label, f"starts at {offset}", f"{Q} leaves the file", offset=offset)
    for kind in (4, 16, 24, 36, 39, 77):
        yield changed(f"type_{kind}", f"type {kind}", f"of type {kind} (", kind=kind)
    blocks = "rows of 16 values, not a multiple of Q8_0's blocks of 32"
    yield changed("blocks", "rows shorter than a block", blocks, kind=8)


# --- other architectures ----------------------------------------------------------------------------------------------


def architectures() -> Iterator[Found]:
    def changed(architecture: str, label: str, wrong: str, words: str, wound: Wound) -> Found:
        return wounded(f"{architecture}_{label}", wrong, (words,), wound, architecture)

    real = {"negative": -1.0, "nan": float("nan")}
    for key in ("attn_logit_softcapping", "final_logit_softcapping"):
        for label, value in real.items():
            full = f"gemma2.{key}"
            packed = struct.pack("<f", value)
            wound: Wound = lambda f, k=full, v=packed: f.set(k, F32, v)  # noqa: E731
            yield changed("gemma2", f"{key[:5]}_{label}", f"{key} is {value}", f"'{full}' is ", wound)
    key = "gemma2.attention.sliding_window"
    yield changed(
        "gemma2",
        "window",
        "the window is a text",
        f"'{key}' is of type string",
        lambda f: f.set(key, TEXT, text("4096")),
    )
    norm = "blk.0.post_ffw_norm.weight"
    yield changed("gemma2", "norm", "a norm is missing", f"tensor {norm} is missing", lambda f: f.rename(norm, "other"))
    norm3 = "blk.0.attn_q_norm.weight"
    yield changed(
        "gemma3", "qk_norm", "a QK norm is missing", f"tensor {norm3} is missing", lambda f: f.rename(norm3, "other")
    )
    wide = f"{norm3} has 1 rows of 16 values, expected 1 of 4"
    yield changed(
        "qwen3", "qk_norm", "a QK norm over all heads", wide, lambda f: setattr(f.tensor(norm3), "dims", [DIM])
    )
    bias = "blk.0.attn_output.bias"
    no_part = f"tensor {bias} has no part in"
    yield changed(
        "qwen2", "bias", "a bias that Qwen 2 has not", no_part, lambda f: f.tensors.append((bias, Tensor([DIM])))
    )
    qkv = "blk.0.attn_qkv.weight"
    narrow = f"{qkv} has 48 rows of 16 values, expected 32 of 16"
    yield changed(
        "phi3", "qkv", "qkv as wide as without GQA", narrow, lambda f: setattr(f.tensor(qkv), "dims", [DIM, 3 * DIM])
    )
    up = "blk.0.ffn_up.weight"
    single = f"{up} has 24 rows of 16 values, expected 48 of 16"
    yield changed("phi3", "up", "up without gate", single, lambda f: setattr(f.tensor(up), "dims", [DIM, HIDDEN]))
    factors = "rope_factors_long.weight"
    alone = lambda f: f.tensors.append((factors, Tensor([DIM // HEADS // 2])))  # noqa: E731
    yield changed("phi3", "factors", "long factors without short", "rope_factors_short.weight is missing", alone)
    turned = f"{qkv} has 16 rows of 48 values, expected 48 of 16"
    yield changed(
        "gpt2", "conv1d", "qkv not transposed", turned, lambda f: setattr(f.tensor(qkv), "dims", [3 * DIM, DIM])
    )
    rows = "position_embd.weight has 31 rows of 16 values, expected 32 of 16"
    short = lambda f: setattr(f.tensor("position_embd.weight"), "dims", [DIM, CONTEXT - 1])  # noqa: E731
    yield changed("gpt2", "positions", "too few positions", rows, short)
    epsilon = "gpt2.attention.layer_norm_epsilon"
    yield changed("gpt2", "epsilon", "no epsilon", f"'{epsilon}' is missing or 0", lambda f: f.drop(epsilon))


# --- parts of a model -------------------------------------------------------------------------------------------------


def parts_of(file: File, counts: tuple[int, ...]) -> list[File]:
    parts: list[File] = []
    at = 0
    for number, count in enumerate(counts):
        part = File(pairs=list(file.pairs) if number == 0 else [])
        part.tensors = file.tensors[at : at + count]
        at += count
        part.set("split.no", U16, struct.pack("<H", number))
        part.set("split.count", U16, struct.pack("<H", len(counts)))
        part.set("split.tensors.count", I32, struct.pack("<i", len(file.tensors)))
        parts.append(part)
    return parts


def splits() -> Iterator[Found]:
    def changed(name: str, wrong: str, words: str, wound: Callable[[list[File]], object]) -> Found:
        parts = parts_of(model(), (5, 3, 3))
        wound(parts)
        names = [f"split_{name}-{number:05d}-of-00003.gguf" for number in (1, 2, 3)]
        beside = {other: part.data() for other, part in zip(names[1:], parts[1:], strict=False)}
        return names[0], parts[0].data(), wrong, (words.lower(),), beside

    missing = "this file is missing; the model is in 3 files"
    yield changed("lacks_2", "parts 2 and 3 are missing", missing, lambda parts: parts.__delitem__(slice(1, 3)))
    yield changed("lacks_3", "part 3 is missing", missing, lambda parts: parts.pop())
    number = struct.pack("<H", 2)
    words = "'split.no' is 2, expected 1 in a file that is named as part 2"
    yield changed("order", "two parts exchanged", words, lambda parts: parts[1].set("split.no", U16, number))
    yield changed(
        "no_number", "a part without number", "'split.no' is missing", lambda parts: parts[2].drop("split.no")
    )
    four = struct.pack("<H", 4)
    words = "'split.count' is 4, but the name says 3 files"
    yield changed("count", "of a model in 4 parts", words, lambda parts: parts[0].set("split.count", U16, four))
    words = "'split.count' is missing, but the name says 3 files"
    yield changed("whole", "a part that is no part", words, lambda parts: parts[1].drop("split.count"))
    other = struct.pack("<i", 99)
    words = "'split.tensors.count' is 99, that of part 1 11"
    yield changed("other", "of another model", words, lambda parts: parts[1].set("split.tensors.count", I32, other))
    words = "'split.tensors.count' is 11, but its 3 files hold 10 tensors"
    yield changed("sum", "a tensor less", words, lambda parts: parts[2].tensors.pop())
    words = "is there twice"
    yield changed(
        "twice", "a tensor in two parts", words, lambda parts: parts[2].tensors.__setitem__(0, parts[0].tensors[2])
    )
    words = "'general.architecture' is 'gpt2', that of part 1 'llama'"
    key = "general.architecture"
    yield changed("arch", "of another architecture", words, lambda parts: parts[1].set(key, TEXT, text("gpt2")))
    words = "not a gguf file, though its name says that it is part 2 of 3"
    yield changed("magic", "a part that is no GGUF", words, lambda parts: setattr(parts[1], "magic", b"GGML"))
    words = "version 1 is not read"
    yield changed("version", "a part of version 1", words, lambda parts: setattr(parts[2], "version", 1))
    renamed = parts_of(model(), (5, 6))[1]
    yield plain("split_renamed", renamed.data(), "a part under another name", "'split.count' is 2: this is part 2")


KINDS: tuple[Callable[[], Iterator[Found]], ...] = (
    headers,
    metadata,
    numbers,
    vocabularies,
    tensors,
    architectures,
    splits,
)
ARCHITECTURES = ("llama", "gpt2", "qwen2", "qwen3", "phi3", "gemma2", "gemma3")
