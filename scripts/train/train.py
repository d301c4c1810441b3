#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Trains a model on OUT/tokens: writes OUT/last.pt (to go on from) and OUT/best.pt (lowest validation loss).

Goes on where OUT/last.pt stopped. Losses go to OUT/log.jsonl and OUT/loss.png. On several GPUs:
torchrun --nproc-per-node N scripts/train/train.py ...
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import random
import sys
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import sentencepiece
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from train.data import Batch, Examples, Mix, Stories, batches
from train.model import Llama, Shape
from train.muon import Muon
from train.plot import plot_log
from train.score import Score, score_text

# dim, hidden, layers, heads, context: the default model, and those of llama2.c's published stories models.
SHAPES = {
    "default": Shape(256, 704, 6, 4, 4, seq_len=512),
    "15m": Shape(288, 768, 6, 6, 6, seq_len=256),
    "42m": Shape(512, 1376, 8, 8, 8, seq_len=1024),
    "110m": Shape(768, 2048, 12, 12, 12, seq_len=1024),
}
FINAL_RATE = 0.02  # of the peak, at the end of the cosine


def cpu_has_bfloat16() -> bool:
    with contextlib.suppress(OSError):
        return "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return False


class Place:
    """Where a process trains: its device, its number among others, and the precision of its arithmetic."""

    def __init__(self, device: str, precision: str) -> None:
        self.rank, self.world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        self.device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if cuda else torch.device("cpu")
        if cuda:
            torch.cuda.set_device(self.device)
        if self.world > 1:
            torch.distributed.init_process_group("nccl" if cuda else "gloo")
        fast = torch.cuda.is_bf16_supported() if cuda else cpu_has_bfloat16()
        self.bfloat16 = precision == "bfloat16" or (precision == "auto" and fast)

    def cast(self) -> Any:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bfloat16)

    def moved(self, tensor: Tensor) -> Tensor:
        if self.device.type == "cuda":  # pinned memory lets the copy run beside the arithmetic
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor


class Trainer:
    """The model, its optimizers and how far they are."""

    def __init__(self, args: argparse.Namespace, place: Place, shape: Shape, examples: Examples) -> None:
        self.args, self.place, self.examples = args, place, examples
        self.model = Llama(shape, args.dropout).to(place.device)
        self.parallel: torch.nn.Module = self.model
        if place.world > 1:
            self.parallel = DistributedDataParallel(self.model)
        matrices = [p for name, p in self.model.named_parameters() if name.startswith("blocks.") and p.ndim == 2]
        chosen = {id(p) for p in matrices}
        others = [p for p in self.model.parameters() if id(p) not in chosen]
        self.optimizers: list[torch.optim.Optimizer] = [
            Muon(matrices, args.matrix_rate, args.weight_decay),
            torch.optim.AdamW(others, args.rate, betas=(0.9, 0.95), weight_decay=0.0),
        ]
        self.peaks = [args.matrix_rate, args.rate]
        self.epoch, self.batch, self.step, self.elapsed = 0, 0, 0, 0.0
        self.best = math.inf
        self.tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(args.out / "vocabulary.model"))
        self.valid = args.valid.read_text(encoding="utf-8", errors="ignore") if args.valid else ""

    def progress(self, batches_an_epoch: int) -> float:
        """0 at the start, 1 at the end: by epochs, or by minutes where those end first."""
        done = (self.epoch + self.batch / batches_an_epoch) / self.args.epochs
        return max(done, self.elapsed / (60 * self.args.minutes)) if self.args.minutes else done

    def set_rates(self, progress: float) -> None:
        factor = FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        factor *= min(1.0, (self.step + 1) / self.args.warmup)
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * factor

    def learn(self, batch: Batch) -> float:
        """Returns the loss of the tokens, each counted once."""
        targets = self.place.moved(batch.targets)
        with self.place.cast():
            losses = self.parallel(self.place.moved(batch.ids), targets)
        weights = self.place.moved(batch.weights)[targets >= 0]
        ((losses * weights).sum() / weights.sum()).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.args.clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return float(losses.detach().mean())

    def validate(self, every: int) -> Score:
        with self.place.cast():
            return score_text(
                self.model, self.valid, self.tokenizer.encode, self.tokenizer.bos_id(), self.tokenizer.eos_id(), every
            )

    def save(self, path: Path) -> None:
        if self.place.rank:
            return
        state = {
            "shape": asdict(self.model.shape),
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "random": torch.get_rng_state(),
            **{name: getattr(self, name) for name in ("epoch", "batch", "step", "elapsed", "best")},
        }
        part = path.with_suffix(".part")
        torch.save(state, part)
        part.replace(path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.place.device)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        torch.set_rng_state(state["random"].cpu())
        for name in ("epoch", "batch", "step", "elapsed", "best"):
            setattr(self, name, state[name])
        self.forget_log()

    def forget_log(self) -> None:
        """What the log says of steps behind the checkpoint is made again."""
        log = self.args.out / "log.jsonl"
        if not self.place.rank and log.is_file():
            lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
            log.write_text("".join(line for line in lines if json.loads(line)["step"] <= self.step), encoding="utf-8")

    def log(self, **values: float) -> None:
        if not self.place.rank:
            with (self.args.out / "log.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": self.step, "elapsed_s": round(self.elapsed, 1), **values}) + "\n")

    def end_epoch(self) -> None:
        """Validates and keeps the best. A part of the validation text will do for that."""
        if self.valid and not self.place.rank:
            score = self.validate(every=self.args.valid_every)
            self.log(epoch=self.epoch, valid_nats_token=score.nats_a_token, valid_nats_byte=score.nats_a_byte)
            tqdm.write(f"epoch {self.epoch}: {score.nats_a_byte:.4f} nats a byte, {score.nats_a_token:.4f} a token")
            if score.nats_a_byte < self.best:
                self.best = score.nats_a_byte
                self.save(self.args.out / "best.pt")
        self.save(self.args.out / "last.pt")
        if not self.place.rank:
            plot_log(self.args.out / "log.jsonl", self.args.out / "loss.png")

    def run_epoch(self) -> bool:
        """False where the training is over before the epoch is."""
        seed = self.args.seed * 7919 + self.epoch
        rows = batches(self.examples.epoch(self.epoch), self.args.batch_tokens, random.Random(seed))
        rows = rows[: len(rows) // self.place.world * self.place.world]
        mine = rows[self.place.rank :: self.place.world]
        saved = time.monotonic()
        losses: list[float] = []
        hidden = self.place.rank > 0
        bar = tqdm(mine[self.batch :], desc=f"epoch {self.epoch + 1}", unit="batch", disable=hidden, mininterval=10)
        for batch in bar:
            begin = time.monotonic()
            progress = self.progress(len(mine))
            if progress >= 1 or (self.args.steps and self.step >= self.args.steps):
                return False
            self.set_rates(progress)
            losses.append(self.learn(batch))
            self.batch, self.step = self.batch + 1, self.step + 1
            seconds = time.monotonic() - begin
            self.elapsed += seconds
            if self.step % self.args.log_every == 0:
                loss = sum(losses) / len(losses)
                losses.clear()
                self.log(loss=loss, rate=self.optimizers[0].param_groups[0]["lr"], tokens_s=batch.ids.numel() / seconds)
                bar.set_postfix(loss=f"{loss:.3f}")
            if time.monotonic() - saved > self.args.save_seconds:
                self.save(self.args.out / "last.pt")
                saved = time.monotonic()
        self.epoch, self.batch = self.epoch + 1, 0
        return True

    def run(self) -> None:
        self.model.train()
        while self.epoch < self.args.epochs and self.run_epoch():
            self.end_epoch()
        if self.batch:
            self.end_epoch()


def make_shape(args: argparse.Namespace, vocab_size: int) -> Shape:
    given = {field.name: getattr(args, field.name, None) for field in fields(Shape)}
    changed = {name: value for name, value in given.items() if value is not None}
    return replace(SHAPES[args.shape], **{**changed, "vocab_size": vocab_size})


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="the working folder")
    parser.add_argument("--valid", type=Path, help="validation text")
    parser.add_argument("--valid-every", type=int, default=4, help="validate on each Nth story (default: %(default)s)")
    parser.add_argument("--shape", choices=SHAPES, default="default", help="default: %(default)s")
    for name in ("dim", "hidden-dim", "n-layers", "n-heads", "n-kv-heads", "seq-len"):
        parser.add_argument(f"--{name}", type=int, metavar="N", help="instead of the shape's")
    parser.add_argument("--separate-head", action="store_const", const=True, help="a head of its own")
    parser.add_argument("--epochs", type=int, default=9, help="default: %(default)s")
    parser.add_argument("--minutes", type=float, help="end after this long, if the epochs take longer")
    parser.add_argument("--steps", type=int, help="stop here, as if broken off (the schedule does not change)")
    parser.add_argument("--batch-tokens", type=int, default=4096, help="a step and process (default: %(default)s)")
    parser.add_argument("--rate", type=float, default=3e-3, help="AdamW's: embeddings and norms (default: %(default)s)")
    parser.add_argument("--matrix-rate", type=float, default=0.02, help="Muon's: matrices (default: %(default)s)")
    parser.add_argument("--weight-decay", type=float, default=0.1, help="of the matrices (default: %(default)s)")
    parser.add_argument("--warmup", type=int, default=50, help="steps (default: %(default)s)")
    parser.add_argument("--clip", type=float, default=1.0, help="norm of the gradient (default: %(default)s)")
    parser.add_argument("--dropout", type=float, default=0.1, help="default: %(default)s")
    parser.add_argument("--chat", type=float, default=Mix.chat, help="share of answers (default: %(default)s)")
    parser.add_argument(
        "--swapped", type=float, default=Mix.swapped, help="share of swapped nouns (default: %(default)s)"
    )
    parser.add_argument("--mention", type=float, default=Mix.mention, help="its weight (default: %(default)s)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("auto", "float32", "bfloat16"), default="auto")
    parser.add_argument("--threads", type=int, help="of the CPU (default: torch's choice)")
    parser.add_argument("--log-every", type=int, default=20, metavar="STEPS", help="default: %(default)s")
    parser.add_argument("--save-seconds", type=float, default=300, help="between checkpoints (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--restart", action="store_true", help="begin anew even if there is a checkpoint")
    return parser.parse_args()


def main() -> int:
    args = parse()
    if args.threads:
        torch.set_num_threads(args.threads)
    place = Place(args.device, args.precision)
    if args.minutes and place.world > 1:
        print("train: --minutes is for one process: several would not agree when it is over", file=sys.stderr)
        return 2
    torch.manual_seed(args.seed + place.rank)  # the weights are those of the first process, dropout is not
    vocabulary = args.out / "vocabulary.model"
    vocab_size = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary)).vocab_size()
    shape = make_shape(args, vocab_size)
    mix = Mix(chat=args.chat, swapped=args.swapped, mention=args.mention)
    examples = Examples(Stories(args.out), vocabulary, shape.seq_len, mix, args.seed)
    trainer = Trainer(args, place, shape, examples)
    last = args.out / "last.pt"
    if last.is_file() and not args.restart:
        trainer.load(last)
        print(f"goes on at epoch {trainer.epoch + 1}, step {trainer.step}")
    precision = "bfloat16" if place.bfloat16 else "float32"
    print(f"{trainer.model.parameter_count()} parameters, {place.device}, {precision}")
    trainer.run()
    print(f"done: {trainer.epoch} epochs, {trainer.step} steps, {trainer.elapsed:.0f} s, best {trainer.best:.4f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
