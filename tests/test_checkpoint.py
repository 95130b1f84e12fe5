import pytest
import torch

from vsr_lightning.checkpoint import AtomicCheckpointIO


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
