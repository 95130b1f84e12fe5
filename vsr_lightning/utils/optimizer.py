"""The optimizer and the learning-rate schedule of a training, in the form in which Lightning takes them."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as pl
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, SequentialLR

Parameters = Iterable[nn.Parameter] | Iterable[dict[str, Any]]
OptimizerFactory = Callable[[Parameters], Optimizer]
START = 0.01  # share of the learning rate in the first step of a warm-up


def make_optimizer(
    parameters: Parameters, optimizer: OptimizerFactory, scheduler: Any, steps: Callable[[], int]
) -> Any:
    """Return what ``configure_optimizers`` returns.

    Args:
        parameters: those to train, or groups of them, see :func:`parameter_groups`.
        optimizer: parameters -> optimizer.
        scheduler: optimizer -> schedule, stepped every epoch; or a mapping with the keys of Lightning's
            ``lr_scheduler``, such as ``{"scheduler": ..., "interval": "step"}``. One that takes ``total_steps`` gets
            the steps of the whole training, and is stepped every step.
        steps: says how many these are, see :func:`total_steps`; asked only where one takes them.

    Raises:
        ValueError: optimizer or scheduler does not accept its keys, a group of parameters has a key that does nothing,
            or the scheduler overwrites the groups' rates by one.
    """
    with _naming("optimizer"):
        made = optimizer(parameters)
    for group in made.param_groups:  # PyTorch takes any key, and ignores it
        if unknown := group.keys() - {*made.defaults, "params", "name", "frozen_steps"}:
            choices = ", ".join([*made.defaults, "frozen_steps"])
            raise ValueError(f"{min(unknown)} is no key of the optimizer's groups of parameters: choose of {choices}")
    if scheduler is None:
        return made
    how = {"scheduler": scheduler} if callable(scheduler) else dict(scheduler)
    with _naming("scheduler"):
        make = how["scheduler"]
        takes_steps = "total_steps" in inspect.signature(make).parameters
    given = {}
    if takes_steps:
        how.setdefault("interval", "step")
        if "total_steps" not in getattr(make, "keywords", {}):
            given["total_steps"] = steps()
    rates = {group["lr"] for group in made.param_groups}
    with _naming("scheduler"):
        how["scheduler"] = make(made, **given)
    if len(rates) > 1 == len({group["initial_lr"] for group in made.param_groups}):
        raise ValueError("the scheduler sets one rate for all groups of parameters: give it a list, or choose another")
    return [made], [how]


@contextmanager
def _naming(kind: str) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the {kind} can't be made ({error}): change the keys of {kind}, or optimizer.lr") from error


def total_steps(trainer: pl.Trainer) -> int:
    """Return the optimizer steps of the whole training.

    Lightning's ``estimated_stepping_batches`` is the same, but sets up the loaders, and a resumed training would then
    begin its epoch anew instead of where it was stopped.

    Raises:
        ValueError: the training has no end in steps or epochs.
    """
    epochs, limit = trainer.max_epochs, trainer.limit_train_batches
    if trainer.max_steps < 0 and (epochs is None or epochs < 0):
        raise ValueError("the scheduler needs the length of the training: set trainer.max_epochs or trainer.max_steps")
    batches = len(trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]
    batches = min(batches, limit) if isinstance(limit, int) else int(batches * limit)
    steps = -(-batches // trainer.accumulate_grad_batches) * (epochs if epochs and epochs > 0 else 10**9)
    return min(steps, trainer.max_steps) if trainer.max_steps > 0 else steps


def warmup_cosine(optimizer: Optimizer, total_steps: int, warmup: float = 0.02) -> LRScheduler:
    """Return a schedule, stepped every step: a line from a hundredth up, then half a cosine down to zero.

    Args:
        optimizer: what it sets the rate of, each group's from its own highest.
        total_steps: of the whole training.
        warmup: share of them in which the rate rises, at least 0 and less than 1 (or ValueError).
    """
    if not 0 <= warmup < 1:
        raise ValueError(f"scheduler.warmup={warmup} is out of range: choose at least 0 and less than 1")
    rising = round(warmup * total_steps)
    falling = CosineAnnealingLR(optimizer, max(1, total_steps - rising))
    if not rising:
        return falling
    return SequentialLR(optimizer, [LinearLR(optimizer, START, total_iters=rising), falling], [rising])


def parameter_groups(network: nn.Module, options: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Split a network's parameters into groups for the optimizer: the rest, then a named one per entry of ``options``.

    Args:
        network: whose parameters are to be trained.
        options: by the beginning of the parameters' names, such as ``flow``, what the optimizer shall do with them: any
            of its keys, such as ``lr``, and ``frozen_steps``, in the first of which they are left alone.

    Raises:
        ValueError: no parameter has such a name, or one has two, or a number of frozen steps is out of range.
    """
    named, taken = dict(network.named_parameters()), set[str]()
    groups: list[dict[str, Any]] = []
    for prefix, keys in options.items():
        mine = {name for name in named if name == prefix or name.startswith(f"{prefix}.")}
        if not mine or mine & taken:
            parts = ", ".join(name for name, _ in network.named_children())
            key = f"module.parameter_groups.{prefix}"
            raise ValueError(f"{key} is no part of the network, or in another's: choose among {parts}")
        frozen = keys.get("frozen_steps", 0)
        if not isinstance(frozen, int) or frozen < 0:
            key = f"module.parameter_groups.{prefix}.frozen_steps"
            raise ValueError(f"{key}={frozen}: choose a whole number, at least 0")
        taken |= mine
        groups.append(
            {"name": f"network.{prefix}", **keys, "params": [value for name, value in named.items() if name in mine]}
        )
    return [{"params": [value for name, value in named.items() if name not in taken]}, *groups]


def leave_frozen(optimizer: Optimizer, step: int) -> None:
    """Take the gradients from the groups that are frozen in this step, so that the optimizer passes over them."""
    for group in optimizer.param_groups:
        if step < group.get("frozen_steps", 0):
            for parameter in group["params"]:
                parameter.grad = None
