"""Time and memory of things side by side, in one process."""

import ctypes
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PR_SET_THP_DISABLE = 41  # Linux, <sys/prctl.h>


def side_by_side(candidates: Mapping[str, Callable[[], object]], repeats: int = 5) -> dict[str, float]:
    """Time each candidate ``repeats`` times in turn, so that a slow moment of the machine meets them all.

    Returns:
        Median seconds of one call each; a first call of each is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for repeat in range(repeats + 1):
        for name, call in candidates.items():
            synchronize()
            begin = time.perf_counter()
            reported = call()
            synchronize()
            # a candidate that knows better what belongs to it, such as steps without their set-up, returns its seconds
            elapsed = reported if isinstance(reported, float) else time.perf_counter() - begin
            if repeat:
                seconds[name].append(elapsed)
    return {name: statistics.median(times) for name, times in seconds.items()}


class Laps:
    """Seconds a step of a loop, its first step left out."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def lap(self) -> None:
        """A step has ended."""
        if not self.marks:
            synchronize()
        self.marks.append(time.perf_counter())

    def seconds(self) -> float:
        """Return the median step; on a GPU, which works on while Python goes ahead, the mean."""
        if torch.cuda.is_available():
            synchronize()
            return (time.perf_counter() - self.marks[0]) / (len(self.marks) - 1)
        return statistics.median(after - before for before, after in pairwise(self.marks))


def synchronize() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_bytes(call: Callable[[], object]) -> int:
    """Return the most bytes of tensors that a call held at once, beyond what was there before it."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    with _Held() as held:
        call()
    return held.peak


class _Held(TorchDispatchMode):
    """Sees the result of every operation, backward ones too, and adds up those that are still alive."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        before = {tensor.untyped_storage()._cdata for tensor in _tensors(args)}
        self.alive = {key: entry for key, entry in self.alive.items() if not entry[0].expired()}
        for storage in (tensor.untyped_storage() for tensor in _tensors(result)):
            if storage._cdata not in before:
                self.alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
        return result


def _tensors(tree: object) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def small_pages(call: Callable[[], object]) -> Callable[[], object]:
    """Return the call with memory as plain PyTorch gets it: without the large pages we ask for (Linux; else as is)."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None
    if prctl is None:
        return call

    def called() -> object:
        prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0)
        try:
            return call()
        finally:
            prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0)

    return called
