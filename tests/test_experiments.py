"""Every experiment trains, with little of everything."""

import json

import pytest

from vsr_lightning.utils.config import CONF

SMALL = (
    "data.source=generated", "data.train_videos=4", "data.test_videos=1", "data.batch_size=2", "features=random",
    "trainer.accelerator=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=1", "logger=csv",
    "hydra.run.dir=run",
)  # fmt: skip


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))
def test_each_experiment_trains(vsr, tmp_path, name):
    conv = any(of in name for of in ("residual_fusion", "recurrent", "finetune"))
    small = ["model.width=8", "model.blocks=1"] if conv else ["model.widths=[2,4]", "model.pools=[true,false]"]
    vsr(f"experiment={name}", *SMALL, *small, tiny=False)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["scores"]["psnr"] > 0
