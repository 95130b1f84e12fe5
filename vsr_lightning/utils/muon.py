"""Muon for convolutional networks: steps that are as large along every direction of a layer's weights."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adamw import adamw

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of x, x^3 and x^5, as Jordan et al. chose them


class Muon(Optimizer):
    """Muon (Jordan et al. 2024) for the convolutions between a network's first and last, AdamW for all else.

    Muon orthogonalizes the averaged gradient of a layer, so that directions in which the loss is hardly steep are
    learned as quickly as the others. ``torch.optim.Muon`` does so for matrices only; a convolution is taken as one,
    with all that an output channel sees in its row, and layers of one shape are computed together, in float32. The
    steps are as large as Adam's (Liu et al. 2025), so that one rate serves both. Linear layers are AdamW's: that of the
    paper's network would take longer to orthogonalize than all else in a step.

    Args:
        params: as every optimizer of PyTorch takes them.
        lr: of both.
        weight_decay: of both, as AdamW has it.
        momentum: of the gradients of a layer under Muon, with Nesterov's look ahead; at least 0 and less than 1.
        channels: a convolution with at least as many inputs and as many outputs is trained by Muon; at least 1.
        betas, eps: of AdamW.

    Raises:
        ValueError: momentum or channels is out of range.
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
        own = {"momentum": momentum, "channels": channels, "betas": betas, "eps": eps}
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, **own})
        for group in self.param_groups:
            if not 0 <= group["momentum"] < 1:
                raise ValueError(f"momentum={group['momentum']}: choose at least 0 and less than 1")
            if group["channels"] < 1:
                raise ValueError(f"channels={group['channels']}: choose at least 1")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take a step; ``closure`` computes the loss and the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            layers, rest = defaultdict(list), []
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                if weight.ndim > 2 and min(weight.shape[:2]) >= group["channels"]:
                    layers[weight.shape].append(weight)
                else:
                    rest.append(weight)
            for weights in layers.values():
                self._step_layers(weights, group)
            self._step_rest(rest, group)
        return loss

    def _step_layers(self, weights: list[nn.Parameter], group: dict[str, Any]) -> None:
        ahead = []
        for weight in weights:
            if not self.state[weight]:
                self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
            average = self.state[weight]["momentum_buffer"].lerp_(weight.grad, 1 - group["momentum"])
            ahead.append(weight.grad.lerp(average, group["momentum"]).flatten(1).float())  # type: ignore[union-attr]
        steps = orthogonalized(torch.stack(ahead))
        size = 0.2 * max(steps.shape[1:]) ** 0.5  # the root mean square of a step is then 0.2, about that of Adam's
        for weight, step in zip(weights, steps, strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.sub_(step.view_as(weight), alpha=group["lr"] * size)

    def _step_rest(self, weights: list[nn.Parameter], group: dict[str, Any]) -> None:
        for weight in weights:
            if not self.state[weight]:
                averages = {"exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}
                self.state[weight].update(step=torch.tensor(0.0), **averages)
        states = [self.state[weight] for weight in weights]
        adamw(
            list(weights),
            [weight.grad for weight in weights],  # type: ignore[misc]
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            max_exp_avg_sqs=[],
            state_steps=[state["step"] for state in states],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            amsgrad=False,
            maximize=False,
            **{name: group[name] for name in ("lr", "weight_decay", "eps")},
        )


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
