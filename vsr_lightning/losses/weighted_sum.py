"""Any weighted sum of losses."""

from collections.abc import Callable, Mapping
from math import inf
from typing import Protocol, cast, runtime_checkable

from torch import Tensor, nn


@runtime_checkable
class SumOfTerms(Protocol):
    """What a loss that is a sum offers beside its value, so that each term can be logged without computing it twice."""

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return each term by name, a scalar."""
        ...

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the loss, a scalar, of what :meth:`terms` returned."""
        ...


class WeightedSum(nn.Module):
    """Sum of losses, each times its weight.

    Args:
        terms: weight by name, at least 0; a loss of weight 0 is left out and never made.
        losses: function that makes the loss, by name.

    Raises:
        ValueError: no weight is above 0, one is out of range, or there is no loss of that name.
    """

    def __init__(self, terms: Mapping[str, float], losses: Mapping[str, Callable[[], nn.Module]]) -> None:
        super().__init__()
        for name, weight in terms.items():
            if name not in losses:
                raise ValueError(f"loss.terms.{name} is unknown: choose among {', '.join(losses)}")
            if not isinstance(weight, (int, float)) or not 0 <= weight < inf:
                raise ValueError(f"loss.terms.{name}={weight}: give a number, at least 0")
        self.weights = {name: weight for name, weight in terms.items() if weight}
        if not self.weights:
            raise ValueError("loss.terms are all 0: give one a weight, such as loss.terms.mse=1")
        self.losses = nn.ModuleDict({name: losses[name]() for name in self.weights})

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return each loss by name, without its weight."""
        return {name: loss(prediction, target) for name, loss in self.losses.items()}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        return cast(Tensor, sum(self.weights[name] * value for name, value in terms.items()))

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, C, H, W) each -> scalar."""
        return self.total(self.terms(prediction, target))
