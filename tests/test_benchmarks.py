"""The benchmark's own arithmetic; its times are nobody's test."""

import pytest
import torch
from hydra.utils import instantiate

from benchmarks import gpu
from benchmarks.measure import Laps, peak_bytes, side_by_side
from benchmarks.rows import Row, faster, slower, table
from benchmarks.steps import by_plain_loop, composed
from benchmarks.windows import serve
from tests.support import TINY
from vsr_lightning.experiment import make_module
from vsr_lightning.losses.vgg import LAYERS


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (faster("speed", 50, 10, "windows/s", "plain", target=5), "pass"),
        (faster("speed", 49, 10, "windows/s", "plain", target=5), "SHORT"),
        (slower("time", 1.15, 1, "plain", target=1.15), "pass"),
        (slower("time", 1.16, 1, "plain", target=1.15), "SHORT"),
        (slower("time", 9, 1, "plain"), ""),
    ],
)
def test_a_row_passes_or_falls_short(row, verdict):
    assert row.verdict == verdict


def test_the_table_puts_ratios_first():
    rows = [Row("speed", 12.345, "37 a second", "3 plain", 5), Row("time", 2, "2 ms", "1 plain", 1.5, at_most=True)]
    assert table(rows).splitlines()[2:] == [
        "| 12.3 | at least 5 | pass | speed | 37 a second | 3 plain |",
        "| 2 | at most 1.5 | SHORT | time | 2 ms | 1 plain |",
    ]


def test_the_median_of_the_rounds_counts_without_the_first():
    seconds = iter([100.0, 1.0, 9.0, 2.0])
    assert side_by_side({"it": lambda: next(seconds)}, repeats=3) == {"it": 2.0}


def test_the_median_of_the_steps_counts_without_the_first():
    laps = Laps()
    laps.marks = [0.0, 1.0, 3.0, 13.0]
    assert laps.seconds() == 2.0


def test_peak_memory_is_what_is_alive_at_once():
    def one_after_the_other():
        for _ in range(3):
            (torch.ones(1000) + 1).sum()

    assert 8000 <= peak_bytes(one_after_the_other) <= 8100


def test_the_loops_that_are_compared_take_our_batches():
    cfg = composed(*TINY)
    data = instantiate(cfg.data)
    serve(data)
    assert by_plain_loop(make_module(cfg), data, steps=1) > 0


@pytest.mark.slow
def test_the_work_of_the_floor_is_that_of_its_layers(small_features):
    batch, rate = 2, 1e9
    row = gpu.utilisation(small_features, batch, 1, rate, 1, None)
    convolutions = sum(
        2 * weight[0].numel() * len(weight) * (64 // LAYERS[tap].shrinkage) ** 2
        for tap, (weight, _) in small_features.convolutions.items()
    )
    operations = 3 * batch * (convolutions + 2 * 8192 * 4096)
    assert f"{operations / 1e9:.4g} G operations" in row.ours
    assert row.ratio > 0


@pytest.mark.slow
def test_the_whole_sweep_runs(small_features):
    row = gpu.whole_sweep(small_features, (*(o for o in TINY if "features" not in o), "trainer.max_epochs=1"), 1000)
    assert row.verdict == "pass"
