"""Any weighted sum of losses."""

from collections.abc import Callable, Mapping
from math import inf

from torch import Tensor, nn


class WeightedSum(nn.Module):
    """Sum of losses, each times its weight.

    Args:
        terms: name -> weight, at least 0; 0 leaves the loss out, and unmade.
        losses: name -> what makes the loss.

    Raises:
        ValueError: no term is left, a weight is out of range, or a term has no loss of that name.
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
        self.features = next((loss.features for loss in self.losses.values() if hasattr(loss, "features")), None)

    def terms(self, prediction: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return each loss by itself, without its weight."""
        return {name: loss(prediction, target) for name, loss in self.losses.items()}

    def total(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Return the weighted sum of what :meth:`terms` returned."""
        return sum((self.weights[name] * value for name, value in terms.items()), 0 * next(iter(terms.values())))

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """(B, C, H, W) each -> scalar."""
        return self.total(self.terms(prediction, target))
