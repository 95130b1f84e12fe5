"""The precision in which a device is fastest: half precision is far slower than float32 where no unit computes it."""

import logging
import os
import time
from functools import lru_cache

import torch
import torch.nn.functional as F

log = logging.getLogger(__name__)
FULL, HALF, OLD_HALF = "32-true", "bf16-mixed", "16-mixed"  # by Lightning's names
DTYPES = {FULL: torch.float32, HALF: torch.bfloat16, OLD_HALF: torch.float16}
FASTER = 0.8  # share of the time in float32 from which on half precision is worth its rounding
HOPELESS = 20.0  # times as long at the first try, preparation included: not tried again
ROUNDS = 5
TENSOR_CORES = (7, 0)  # the compute capability, Volta's, from which on NVIDIA's GPUs have units for float16


@lru_cache
def fast_precision(accelerator: str = "auto") -> str:
    """Return the precision to train in on an accelerator, by Lightning's name: a half one only where it is faster.

    NVIDIA's GPUs say what they compute in. Of processors the same instructions mean a third of the time on one and
    more time on another, so a convolution is timed both ways, which takes a tenth of a second; but not by each of
    several processes that another program started, since they could choose differently. On anything else, all is
    computed in float32. Says in a line what was chosen and why, once per process.
    """
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return _said(HALF, "which this GPU computes in")
        fast = torch.cuda.get_device_capability() >= TENSOR_CORES
        return _said(OLD_HALF if fast else FULL, f"as this GPU has {'' if fast else 'no '}units for float16")
    if any(int(os.environ.get(name, "1")) > 1 for name in ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS")):
        return _said(FULL, "as several processes have to choose alike: trainer.precision=bf16-mixed chooses for all")
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not torch.backends.mps.is_available())
    if not on_cpu:
        return _said(FULL, "as half precision was not tried on this accelerator")
    share = _share_of_time()
    found = f"a convolution in bfloat16 takes {share:.2g} times as long as in float32"
    return _said(HALF if share <= FASTER else FULL, f"as {found} on this processor")


def _said(precision: str, why: str) -> str:
    log.info("the fast precision here is %s, %s", precision, why)
    return precision


def _share_of_time() -> float:
    """Return the time of two convolutions, there and back, in bfloat16, over that in float32."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would wait for each other where another program has a core
    try:
        _seconds(half=False)  # the first ones prepare the convolutions
        first, exact = _seconds(half=True), _seconds(half=False)
        if first > HOPELESS * exact:
            return first / exact
        rounds = [(_seconds(half=True), _seconds(half=False)) for _ in range(ROUNDS)]
    finally:
        torch.set_num_threads(threads)
    return min(half for half, _ in rounds) / min(exact for _, exact in rounds)


@torch.inference_mode(False)
@torch.enable_grad()
def _seconds(half: bool) -> float:
    # constants, so that no random number is taken from the training
    x = torch.full((2, 64, 32, 32), 0.5).contiguous(memory_format=torch.channels_last)
    weight = torch.full((64, 64, 3, 3), 0.01).contiguous(memory_format=torch.channels_last).requires_grad_()
    begin = time.thread_time()  # without the time that other programs take
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        features = F.relu(F.conv2d(x, weight, padding=1))
        F.conv2d(features, weight, padding=1).sum().backward()
    return time.thread_time() - begin
