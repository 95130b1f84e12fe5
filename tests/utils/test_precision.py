import os
import re
import subprocess
import sys

import pytest
import torch

from tests.support import compose_train
from vsr_lightning.utils import precision
from vsr_lightning.utils.precision import FULL, HALF, OLD_HALF, fast_precision

SAY = (
    "from vsr_lightning.utils.precision import *; import logging; logging.basicConfig(level=20); fast_precision('cpu')"
)


@pytest.fixture(autouse=True)
def _ask_anew():
    fast_precision.cache_clear()
    yield
    fast_precision.cache_clear()


@pytest.mark.parametrize(("share", "expected"), [(0.08, HALF), (0.8, HALF), (0.95, FULL), (12.0, FULL)])
def test_a_processor_gets_half_precision_where_it_is_clearly_faster(share, expected, monkeypatch):
    monkeypatch.setattr(precision, "_share_of_time", lambda: share)
    assert fast_precision("cpu") == expected


def test_the_processor_at_hand_is_never_slower_in_what_is_chosen():
    """Where bfloat16 is chosen, a training step of another size than the timed one is faster in it, too."""
    if fast_precision("cpu") == FULL:
        pytest.skip("float32 is what it is fastest in")
    layer = torch.nn.Conv2d(48, 48, 3, padding=1)
    x = torch.rand(4, 48, 40, 40).contiguous(memory_format=torch.channels_last)

    def step(half):
        begin = precision.time.thread_time()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            layer(torch.relu(layer(x))).sum().backward()
        return precision.time.thread_time() - begin

    step(True), step(False)
    assert min(step(True) for _ in range(5)) < min(step(False) for _ in range(5))


@pytest.mark.slow
@pytest.mark.parametrize("instructions", ["AVX2", "AVX512_CORE"])
def test_a_processor_without_units_for_bfloat16_gets_float32(instructions):
    """oneDNN does as if the processor had no more than these."""
    made = {**os.environ, "ONEDNN_MAX_CPU_ISA": instructions}
    said = subprocess.run([sys.executable, "-c", SAY], env=made, capture_output=True, text=True, check=True).stderr
    times = re.search(r"the fast precision here is 32-true, as a convolution in bfloat16 takes ([\d.]+) times", said)
    assert float(times[1]) > 1


@pytest.mark.parametrize(
    ("bfloat16", "capability", "expected"), [(True, (8, 0), HALF), (False, (7, 0), OLD_HALF), (False, (6, 1), FULL)]
)
def test_a_gpu_is_asked(bfloat16, capability, expected, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bfloat16)
    assert fast_precision("auto") == fast_precision("gpu") == expected


@pytest.mark.parametrize("variable", ["WORLD_SIZE", "SLURM_STEP_NUM_TASKS"])
def test_processes_that_others_started_choose_alike(variable, monkeypatch):
    monkeypatch.setenv(variable, "2")
    monkeypatch.setattr(precision, "_share_of_time", lambda: 0.1)
    assert fast_precision("cpu") == FULL


def test_an_unknown_accelerator_gets_float32():
    assert fast_precision("tpu") == FULL


def test_timing_takes_no_random_number_and_leaves_the_threads_alone():
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    fast_precision("cpu")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("accelerator", ["cpu", "auto"])
def test_the_fast_trainer_asks_for_its_own_accelerator(accelerator, monkeypatch):
    asked = []
    monkeypatch.setattr(precision, "fast_precision", lambda name: asked.append(name) or HALF)
    assert compose_train("trainer=fast", f"trainer.accelerator={accelerator}").trainer.precision == HALF
    assert asked == [accelerator]
