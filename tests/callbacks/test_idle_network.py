import pytest

from tests.support import TINY

DATA = [item for item in TINY if not item.startswith("model")]
IDLE = "the network has learned nothing"


@pytest.mark.parametrize(
    ("model", "keys", "warns"),
    [
        ("residual_fusion", ["data.degradation.scale=4", "model.width=16", "optimizer.lr=0"], True),
        ("residual_fusion", ["optimizer.lr=0.1"], False),
        ("recurrent", ["data.clip_frames=6", "optimizer.lr=0"], True),
        ("bicubic", [], False),
        ("frame_fusion_fig1", ["optimizer.lr=0"], False),  # adds to nothing
    ],
)
def test_a_network_that_gives_what_its_skip_gives_is_warned_of_once(model, keys, warns, vsr, tmp_path):
    vsr(*DATA, f"model={model}", *keys, "hydra.run.dir=run", tiny=False)
    assert (tmp_path / "run" / "train.log").read_text().count(IDLE) == warns
