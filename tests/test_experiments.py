"""Every experiment trains, with little of everything."""

import json

import numpy as np
import pytest

from tests.support import compose_train
from vsr_lightning.inference import write_video
from vsr_lightning.utils.config import CONF

SMALL = ("features=random", "trainer.accelerator=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=1",
         "logger=csv")  # fmt: skip
DIGITS = ("data.source=generated", "data.train_videos=4", "data.test_videos=1")
NATURAL = ("data.root=clips", "data.crop=16", "data.windows_per_clip=1", "data.clip_batch_size=1")
CONVOLUTIONAL = ("residual_fusion", "recurrent", "finetune", "temporal_shift", "x2", "x4")
FROM = "RUN/checkpoints/last.ckpt"  # what a recipe says that starts from a run which one must give


def _small(name):
    """Return the overrides that make a recipe take a moment."""
    natural = "natural" in name
    small = [*SMALL, *(NATURAL if natural else DIGITS)]
    if any(part in name for part in CONVOLUTIONAL):
        small += ["model.width=8", "model.blocks=1"]
    else:
        small += ["model.widths=[2,4]", "model.pools=[true,false]"]
    if natural and not name.endswith("x4"):
        small += ["loss.losses.perceptual.layers=[relu1_1]"]  # those of the recipe are another network's
    if name.endswith("adversarial"):
        small += ["module.discriminator.width=2"]
    if not natural:
        small += ["data.batch_size=2", "data.clip_batch_size=2"]
    if name.startswith("findings_digits"):
        small += ["data.val_videos=1"]
    return small


@pytest.fixture
def clips(tmp_path):
    """The three natural clips, by their names."""
    draw = np.random.default_rng(0)
    for name in ("bikes", "bigbuckbunny", "carphone_pristine"):
        write_video(tmp_path / "clips" / f"{name}.mp4", draw.integers(0, 256, (30, 64, 64, 3), np.uint8), 25)


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))
def test_each_experiment_trains(vsr, tmp_path, name, clips):
    start = []
    if name.endswith("_on"):
        base, start = name.removesuffix("_on"), ["starts=starts", "loss.terms.perceptual=0.1"]
        into = "hydra.run.dir=starts/residual_fusion_small_seed0"
        vsr(f"experiment={base}", *_small(base), into, tiny=False)
    elif compose_train(f"experiment={name}").init_from == FROM:
        base = "_".join(name.split("_")[:2])
        with pytest.raises(SystemExit, match=rf"init_from={FROM} is missing: give last"):
            vsr(f"experiment={name}", *_small(name), tiny=False)
        vsr(f"experiment={base}", *_small(base), "hydra.run.dir=start", tiny=False)
        start = ["init_from=start/checkpoints/last.ckpt"]
    vsr(f"experiment={name}", *_small(name), *start, "hydra.run.dir=run", tiny=False)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["scores"]["psnr"] > 0
    assert record["validation"]["psnr"] > 0


def test_each_run_of_a_sweep_lists_the_scores_of_its_clips(vsr, tmp_path, clips, no_report):
    data = ["data=videos", "data.root=clips", "data.test_share=0.34", "data.crop=16"]
    network = ["model=residual_fusion", "model.channels=3", "model.width=4", "model.blocks=1"]
    vsr("-m", *network, *data, *SMALL, "hydra.sweep.dir=sweep", tiny=False)
    tables = [path.read_text().splitlines() for path in (tmp_path / "sweep").rglob("clips.csv")]
    assert len(tables) == 2  # the sweep's own bicubic has one, too
    for lines in tables:
        names = [line.split(",")[0].strip('"') for line in lines[1:]]
        assert names == ["bigbuckbunny.mp4", "bikes.mp4", "carphone_pristine.mp4"]
