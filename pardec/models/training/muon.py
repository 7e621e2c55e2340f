"""Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/): momentum, made orthogonal.

Same algorithm as `torch.optim.Muon`, but in float32 and with all matrices of one shape at once. Torch's version runs in
bfloat16, twenty times slower on a processor without instructions for it, where it took most of a training step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic that drives all singular values towards one, steep at zero: a few rounds leave them near one."""
ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Muon for the matrices of a model's layers; embeddings and vectors need another optimiser.

    lr: learning rate of a square matrix; a tall one's is √(rows / columns) times that. momentum: of the running mean
    of gradients, with Nesterov's look-ahead. weight_decay: decoupled, times lr.

    Raises:
        ValueError: a parameter that is not a matrix.
    """

    def __init__(
        self, params: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.dim() != 2:
                    raise ValueError(f"Muon is for matrices, not for a shape of {list(parameter.shape)}")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Update all matrices from their gradients. closure: as in torch's optimisers; its loss is returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    alike.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in alike.items():
                updates = orthogonal(torch.stack([self._moved(p, group["momentum"]) for p in parameters]))
                scale = math.sqrt(max(1.0, shape[0] / shape[1]))
                for parameter, update in zip(parameters, updates, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"])
                    parameter.add_(update, alpha=-group["lr"] * scale)
        return loss

    def _moved(self, parameter: Tensor, momentum: float) -> Tensor:
        """Return the running mean of the parameter's gradients, updated with the newest."""
        state = self.state[parameter]
        if not state:
            state["mean"] = torch.zeros_like(parameter.grad)
        state["mean"].lerp_(parameter.grad, 1 - momentum)
        return parameter.grad.lerp(state["mean"], momentum)


def orthogonal(matrices: Tensor) -> Tensor:
    """Return approximately the nearest orthogonal matrices, [n, rows, columns] to the same shape, with the singular
    vectors of each and singular values between about 0.7 and 1.2 (Newton-Schulz)."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if tall else matrices
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
