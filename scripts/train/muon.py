# SPDX-License-Identifier: MIT
"""Muon: momentum whose update is made nearly orthogonal, for the matrices inside the layers.

After K. Jordan, "Muon: An optimizer for hidden layers in neural networks", 2024: five Newton-Schulz steps push the
singular values of the momentum towards one. Matrices of one shape are done together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalized(matrices: Tensor, steps: int = 5) -> Tensor:
    """(count, rows, columns): each matrix with its singular values brought near one."""
    a, b, c = NEWTON_SCHULZ
    x = matrices.bfloat16()
    wide = x.shape[1] <= x.shape[2]
    x = x if wide else x.transpose(1, 2)
    x = x / (x.float().flatten(1).norm(dim=1)[:, None, None] + 1e-7).bfloat16()
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide else x.transpose(1, 2)).float()


class Muon(torch.optim.Optimizer):
    """`lr` is the size of an update's singular values, times sqrt(rows / columns) where there are more rows."""

    def __init__(
        self, matrices: Iterable[nn.Parameter], lr: float, weight_decay: float, momentum: float = 0.95
    ) -> None:
        super().__init__(list(matrices), {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            same_shape: defaultdict[torch.Size, list[nn.Parameter]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is not None:
                    same_shape[matrix.shape].append(matrix)
            for matrices in same_shape.values():
                self._step_together(matrices, group["lr"], group["weight_decay"], group["momentum"])

    def _step_together(self, matrices: list[nn.Parameter], lr: float, weight_decay: float, momentum: float) -> None:
        rows, columns = matrices[0].shape
        directions = []
        for matrix in matrices:
            gradient = matrix.grad
            assert gradient is not None
            buffer = self.state[matrix].setdefault("momentum", torch.zeros_like(matrix))
            buffer.mul_(momentum).add_(gradient, alpha=1 - momentum)
            directions.append(torch.lerp(gradient, buffer, momentum))  # Nesterov's look ahead
        scale = lr * max(1.0, rows / columns) ** 0.5
        for matrix, update in zip(matrices, orthogonalized(torch.stack(directions)), strict=True):
            matrix.mul_(1 - lr * weight_decay).add_(update, alpha=-scale)
