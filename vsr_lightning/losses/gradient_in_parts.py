"""A loss's values and gradient in one pass, for a part of the batch at a time.

A deep feature network keeps its feature maps for the backward pass: of a whole batch, more than a laptop's memory. The
standard remedy, :func:`torch.utils.checkpoint.checkpoint`, drops them and computes them again on the way back, at the
price of one more forward pass. Here nothing is learned in the network, and the loss is the last step before the
backward pass: the gradient with respect to the images can be taken at once, while a part's feature maps are there,
and is only scaled later. So each part is computed once, and only one part's feature maps are held.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

SCALE = 2.0**12  # keeps small gradients from vanishing in float16; a power of two changes nothing elsewhere


class GradientInParts(torch.autograd.Function):
    """``apply(prediction, target, distances, parts)``: (B,) distances of (B, C, H, W) images, in that many parts.

    Gradients reach ``prediction`` alone, and only once: they have no derivative of their own.
    """

    @staticmethod
    def forward(
        ctx: Any, prediction: Tensor, target: Tensor, distances: Callable[[Tensor, Tensor], Tensor], parts: int
    ) -> Tensor:
        values, gradients = [], []
        for x, y in zip(prediction.detach().chunk(parts), target.chunk(parts), strict=True):
            with torch.enable_grad():
                value = distances(x.requires_grad_(), y)
                (gradient,) = torch.autograd.grad((SCALE * value).sum(), x)
            values.append(value.detach())
            gradients.append(gradient / SCALE)
        ctx.save_for_backward(torch.cat(gradients))
        return torch.cat(values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_output[:, None, None, None].to(gradient.dtype), None, None, None
