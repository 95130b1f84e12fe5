"""The optimizer and the learning-rate schedule of a training, in the form in which Lightning takes them."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.optim import Optimizer

OptimizerFactory = Callable[[Iterable[nn.Parameter]], Optimizer]


def make_optimizer(
    parameters: Iterable[nn.Parameter], optimizer: OptimizerFactory, scheduler: Any, total_steps: int | None = None
) -> Any:
    """Return what ``configure_optimizers`` returns; ValueError if optimizer or scheduler does not accept its keys.

    The scheduler, if any, takes the optimizer, and its schedule is stepped every epoch; given the ``total_steps`` of
    the whole training, it takes these too, and its schedule is stepped every step.
    """
    kind = "optimizer"
    try:
        made = optimizer(parameters)
        if scheduler is None:
            return made
        kind = "scheduler"
        if total_steps is None:
            return [made], [scheduler(made)]
        return [made], [{"scheduler": scheduler(made, total_steps=total_steps), "interval": "step"}]
    except (TypeError, ValueError) as error:
        raise ValueError(f"the {kind} can't be made ({error}): change the keys of {kind}, or optimizer.lr") from error
