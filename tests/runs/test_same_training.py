"""What makes two runs the same training: a run that was moved goes on, a command of another run is refused."""

import pytest

from vsr_lightning.runs.comparable import identity, training_key

CONFIG = {
    "seed": 0,
    "output_dir": "runs/a",
    "data": {"root": "data", "train_videos": 6, "degradation": {"scale": 2}},
    "model": {"_target_": "vsr_lightning.models.Deformable", "features": 1},
    "loss": {"losses": {"perceptual": {"features": "bundled", "layers": "all"}}},
    "trainer": {"max_epochs": 2, "precision": "32-true", "devices": 1, "plugins": [{"_target_": "a"}]},
    "callbacks": {"last": {"dirpath": "runs/a/checkpoints"}},
    "logger": {"tensorboard": {"save_dir": "runs/a"}},
}


def test_only_what_changes_the_training_counts():
    assert training_key(CONFIG) == {
        "seed": 0,
        "data.train_videos": 6,
        "data.degradation.scale": 2,
        "model._target_": "vsr_lightning.models.Deformable",
        "model.features": 1,  # a number of blocks, not the loss's features
        "loss.losses.perceptual.layers": "all",
        "trainer.max_epochs": 2,
        "trainer.precision": "32-true",
    }


@pytest.mark.parametrize("part", ["data", "features", "init_from"])
def test_the_contents_of_files_are_their_identity(part):
    assert identity({part: {"name": "a", "checksum": "1"}}) == {f"{part}.checksum": "1"}
    assert identity({part: None}) == {}
