"""A linear layer whose matrix products oneDNN computes on a CPU."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class Linear(nn.Linear):
    """``nn.Linear``, with its three products by oneDNN in float32 on a CPU; same numbers up to the order of the sums.

    PyTorch uses MKL here, which takes twice the time for few rows on processors other than Intel's. The operator below
    is the one that PyTorch's compiler uses; the public way to oneDNN copies the gradient (docs/performance.md).
    Under autocast, too: for few rows a product takes as long as its weight takes to read, and a copy in half precision
    would have to be written and read besides.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, in) -> (B, out)."""
        half = torch.is_autocast_enabled("cpu") and self.weight.dtype == torch.float32
        if not ONEDNN or input.device.type != "cpu" or not (half or input.dtype == torch.float32):
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return _ByOneDNN.apply(input.float(), self.weight, self.bias)


class _ByOneDNN(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(input, weight)
        return _product(input, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        input, weight = ctx.saved_tensors
        for_input, for_weight, for_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.T) if for_input else None,
            _product(gradient.T.contiguous(), input.T.contiguous()) if for_weight else None,
            gradient.sum(0) if for_bias else None,
        )


def _product(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(input, weight, bias, "none", [], "")
