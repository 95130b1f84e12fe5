import signal

import pytest
import torch

from vsr_lightning.runs.checkpoint import AtomicCheckpointIO
from vsr_lightning.runs.load_checkpoint import PREVIOUS


def test_a_save_that_breaks_leaves_the_last_checkpoint_whole(tmp_path):
    path = tmp_path / "checkpoints" / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"weights": torch.ones(3)}, path)

    class Unsaveable:
        def __reduce__(self):
            raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(3), "more": Unsaveable()}, path)
    assert torch.load(path, weights_only=True)["weights"].tolist() == [1, 1, 1]
    assert [file.name for file in path.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize(("name", "kept"), [("last.ckpt", True), ("best.ckpt", False)])
def test_the_checkpoint_before_is_kept_of_what_a_run_goes_on_from(name, kept, tmp_path):
    for number in range(2):
        checkpoint = {"weights": torch.tensor(number), "optimizer_states": []}
        AtomicCheckpointIO().save_checkpoint(checkpoint, tmp_path / name)
    assert torch.load(tmp_path / name, weights_only=True)["weights"] == 1
    assert (tmp_path / PREVIOUS).exists() == kept


def test_a_full_disk_is_named_as_such(tmp_path):
    resource = pytest.importorskip("resource")  # not on Windows
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1][1]))  # a write beyond it fails as on a full disk
    try:
        with pytest.raises(OSError, match="File too large"):
            AtomicCheckpointIO().save_checkpoint({"weights": torch.zeros(100_000)}, tmp_path / "last.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before[1])
        signal.signal(signal.SIGXFSZ, before[0])
    assert not list(tmp_path.iterdir())
