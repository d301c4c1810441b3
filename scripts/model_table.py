# SPDX-License-Identifier: MIT
"""The models that download_models.py knows by name: which files of which repository, under which licence.

A file's size and SHA-256 stand here only where they are known for certain; the server's own are checked always. A pin
that no longer fits means that the repository has another file under that name by now."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository, and where it goes below the models folder."""

    repo: str
    path: str
    target: str = ""  # the name in the repository if empty
    sha256: str = ""
    size_bytes: int | None = None
    revision: str = "main"

    @property
    def local(self) -> str:
        return self.target or self.path.rsplit("/", 1)[-1]


@dataclass(frozen=True)
class Model:
    """What is downloaded under one name."""

    name: str
    what: str
    licence: str
    megabytes: int  # about, for lists
    files: tuple[RemoteFile, ...]
    # What is left to do; {folder} is the models folder.
    after: str = ""
    # Written from a SentencePiece model among the files, for llama2.c: (that file, the tokenizer.bin).
    tokenizer: tuple[str, str] = field(default=("", ""))


CONVERT = (
    "convert it: .venv/bin/python scripts/convert_models.py --model auto --input {folder}/%s --output {folder}/%s.gguf"
)
GEMMA_TERMS = "Gemma Terms of Use: https://ai.google.dev/gemma/terms"

# Llama 2's SentencePiece model, as TinyLlama has it.
LLAMA2_TOKENIZER = RemoteFile(
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "tokenizer.model",
    "llama2/tokenizer.model",
    "9e556afd44213b6bd1be2b850ebbbd98f5481437a8021afaf58ee7fb1818d347",
    499_723,
)


def stories(name: str, megabytes: int) -> Model:
    return Model(
        name,
        f"stories of TinyStories, {name.removeprefix('stories')} parameters, llama2.c",
        "MIT",
        megabytes,
        (RemoteFile("karpathy/tinyllamas", f"{name}.bin"), LLAMA2_TOKENIZER),
        tokenizer=("llama2/tokenizer.model", "tok32000.bin"),
    )


def gguf(name: str, what: str, licence: str, megabytes: int, file: RemoteFile) -> Model:
    return Model(name, what, licence, megabytes, (file,))


def checkpoint(name: str, what: str, licence: str, megabytes: int, repo: str, files: tuple[str, ...]) -> Model:
    """A folder of its own, to be converted."""
    remote = tuple(RemoteFile(repo, file, f"{name}/{file}") for file in files)
    return Model(name, what, licence, megabytes, remote, CONVERT % (name, name))


TINYLLAMA_GGUF = "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF"
TINYLLAMA_Q4_0 = RemoteFile(
    TINYLLAMA_GGUF,
    "tinyllama-1.1b-chat-v1.0.Q4_0.gguf",
    "",
    "da3087fb14aede55fde6eb81a0e55e886810e43509ec82ecdc7aa5d62a03b556",
    637_699_456,
)
QWEN3_Q8_0 = RemoteFile(
    "Qwen/Qwen3-0.6B-GGUF",
    "Qwen3-0.6B-Q8_0.gguf",
    "",
    "9465e63a22add5354d9bb4b99e90117043c7124007664907259bd16d043bb031",
    639_446_688,
)
GEMMA3_Q8_0 = RemoteFile(
    "ggml-org/gemma-3-270m-it-GGUF",
    "gemma-3-270m-it-Q8_0.gguf",
    "",
    "0ef57d2c838458a1952664260dcba38e5bdda37494f3af732f06e4add24068e3",
    291_545_600,
)

MODELS = (
    stories("stories15M", 61),
    stories("stories42M", 167),
    stories("stories110M", 438),
    checkpoint(
        "gpt2",
        "GPT-2 124M, continues texts",
        "MIT",
        550,
        "openai-community/gpt2",
        ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"),
    ),
    gguf("tinyllama-q4_0", "TinyLlama 1.1B Chat v1.0, Q4_0", "Apache-2.0", 638, TINYLLAMA_Q4_0),
    gguf(
        "tinyllama-q8_0",
        "TinyLlama 1.1B Chat v1.0, Q8_0",
        "Apache-2.0",
        1171,
        RemoteFile(TINYLLAMA_GGUF, "tinyllama-1.1b-chat-v1.0.Q8_0.gguf"),
    ),
    checkpoint(
        "tinyllama-safetensors",
        "TinyLlama 1.1B Chat v1.0, BF16, as it was published",
        "Apache-2.0",
        2203,
        "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
        (
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "special_tokens_map.json",
            "tokenizer.json",
            "tokenizer.model",
            "tokenizer_config.json",
        ),
    ),
    gguf(
        "smollm2-135m",
        "SmolLM2 135M Instruct, Q8_0",
        "Apache-2.0",
        145,
        RemoteFile("bartowski/SmolLM2-135M-Instruct-GGUF", "SmolLM2-135M-Instruct-Q8_0.gguf"),
    ),
    gguf(
        "smollm2-360m",
        "SmolLM2 360M Instruct, Q8_0",
        "Apache-2.0",
        386,
        RemoteFile("bartowski/SmolLM2-360M-Instruct-GGUF", "SmolLM2-360M-Instruct-Q8_0.gguf"),
    ),
    gguf(
        "qwen2.5-0.5b",
        "Qwen2.5 0.5B Instruct, Q4_0",
        "Apache-2.0",
        429,
        RemoteFile("Qwen/Qwen2.5-0.5B-Instruct-GGUF", "qwen2.5-0.5b-instruct-q4_0.gguf"),
    ),
    gguf("qwen3-0.6b", "Qwen3 0.6B, Q8_0", "Apache-2.0", 639, QWEN3_Q8_0),
    gguf("gemma-3-270m", "Gemma 3 270M it, Q8_0", GEMMA_TERMS, 292, GEMMA3_Q8_0),
)


def find_model(name: str) -> Model | None:
    """The model of a name; OWNER/REPOSITORY/FILE is any file of any repository."""
    owner, _, rest = name.partition("/")
    repo, _, path = rest.partition("/")
    if owner and repo and path:
        return Model(
            name, path, f"see https://huggingface.co/{owner}/{repo}", 0, (RemoteFile(f"{owner}/{repo}", path),)
        )
    return next((model for model in MODELS if model.name == name.lower() or model.name == name), None)
