"""From the shell prompt: the help, the config, and a sweep's overhead, against importing Lightning."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator

from benchmarks.measure import side_by_side
from benchmarks.rows import Row, slower

TRAIN = ("-m", "vsr_lightning.train")
ONE_STEP = (
    "experiment=quick", "data.train_videos=20", "data.test_videos=1", "trainer.max_epochs=1", "callbacks=default",
)  # fmt: skip


def benchmark(repeats: int) -> Iterator[Row]:
    """Time whole processes."""
    with tempfile.TemporaryDirectory() as folder:
        sweep = (*TRAIN, "-m", "loss=mse,perceptual", *ONE_STEP)
        seconds = side_by_side(
            {
                "import": python("-c", "import lightning", folder=folder),
                "--help": python(*TRAIN, "--help", folder=folder),
                "--cfg job": python(*TRAIN, "--cfg", "job", folder=folder),
                "sweep": python(*sweep, folder=folder),
            },
            repeats,
        )
    for name in ("--help", "--cfg job"):
        yield slower(f"start-up, {name}", seconds[name], seconds["import"], "import lightning", 0.2)
    what = "start-up, sweep of two jobs of one step each, with its table and report"
    yield slower(what, seconds["sweep"], seconds["import"], "import lightning")


def python(*arguments: str, folder: str) -> Callable[[], object]:
    """Return a call that runs Python to its end, in a folder of its own."""
    return lambda: subprocess.run([sys.executable, *arguments], cwd=folder, check=True, capture_output=True)
