"""Muon for convolutional networks: steps that are as large along every direction of a layer's weights."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of x, x^3 and x^5, as Jordan et al. chose them


class Muon(AdamW):
    """Muon (Jordan et al. 2024) for the layers between a network's first and last, AdamW for all else.

    Muon orthogonalizes the averaged gradient of a layer, so that directions in which the loss is hardly steep are
    learned as quickly as the others. ``torch.optim.Muon`` does so for matrices only; a convolution is taken as one,
    with all that an output channel sees in its row, and layers of one shape are computed together, in float32. The
    steps are as large as Adam's (Liu et al. 2025), so that one rate serves both.

    Args:
        params: as every optimizer of PyTorch takes them.
        lr: of both.
        weight_decay: of both, as AdamW has it.
        momentum: of the gradients of a layer under Muon, with Nesterov's look ahead.
        channels: a layer with at least as many inputs and as many outputs is trained by Muon.
        betas, eps: of AdamW.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        channels: int = 16,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
        self.momentum, self.channels = momentum, channels

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step; ``closure`` computes the loss and the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        hidden: list[tuple[nn.Parameter, Tensor]] = []
        for group in self.param_groups:
            layers = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None and weight.ndim > 1 and min(weight.shape[:2]) >= self.channels:
                    layers[weight.shape].append(weight)
            for weights in layers.values():
                self._step_layers(weights, group["lr"], group["weight_decay"])
                hidden += [(weight, weight.grad) for weight in weights]
        for weight, _ in hidden:  # AdamW passes over what has no gradient
            weight.grad = None
        super().step()
        for weight, gradient in hidden:
            weight.grad = gradient
        return loss

    def _step_layers(self, weights: list[nn.Parameter], lr: float, weight_decay: float) -> None:
        ahead = []
        for weight in weights:
            state = self.state[weight]  # with AdamW's names, by which it reads a checkpoint
            if not state:
                state["step"], state["exp_avg"] = torch.tensor(0.0), torch.zeros_like(weight)
            state["step"] += 1
            state["exp_avg"].lerp_(weight.grad, 1 - self.momentum)
            ahead.append(weight.grad.lerp(state["exp_avg"], self.momentum).flatten(1))  # type: ignore[union-attr]
        steps = orthogonalized(torch.stack(ahead))
        size = 0.2 * max(steps.shape[1:]) ** 0.5  # the root mean square of a step is then 0.2, about that of Adam's
        for weight, step in zip(weights, steps, strict=True):
            weight.mul_(1 - lr * weight_decay).sub_(step.view_as(weight), alpha=lr * size)


def orthogonalized(matrices: Tensor) -> Tensor:
    """(N, rows, columns) -> the same, each with its singular values brought near 1 by five Newton-Schulz iterations."""
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonalized(matrices.mT).mT
    linear, cubic, quintic = NEWTON_SCHULZ
    x = matrices / matrices.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(5):
        squares = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(squares, squares, squares, beta=cubic, alpha=quintic), x, beta=linear)
    return x
