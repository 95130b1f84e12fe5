"""Hundreds of random and hostile overrides: each ends in a run or in one clear line."""

import re
import sys

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from tests.conftest import TINY
from vsr_lightning import experiment
from vsr_lightning.launch.cli import run_cli
from vsr_lightning.runs.record import leaves
from vsr_lightning.train import main
from vsr_lightning.utils.config import CONF

# a valid value of the first three could take minutes, or all memory; the last asks for the traceback
LEFT_OUT = {"data.train_videos", "data.test_videos", "model.widths", "full_traceback"}
HOSTILE = [
    *("", "null", "-1", "0", "1", "1e999", "nan", "true", "[]", "[1,2", "{a:", "{a:1}", "a b", "a,b", "'", '"', "="),
    *("${", "${seed}", "${nowhere}", "${oc.env:NOT_SET_ANYWHERE}", "${run_folder:x}", "range(1,3)", "glob(*)"),
    *("\\", "9" * 30, "../x", "/dev/null/x", "é☃", "x" * 3000, "%s%n", "<script>", "; touch pwned", "$(touch pwned)"),
    "__import__('os').mkdir('pwned')",
]


def _keys():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("train", list(TINY), return_hydra_config=True)
    GlobalHydra.instance().clear()
    known = [key for key, _ in leaves(OmegaConf.to_container(config, resolve=False)) if key not in LEFT_OUT]
    own = [key for key in known if not key.startswith("hydra.") and "_target_" not in key]
    groups = [
        "data",
        "model",
        "loss",
        "trainer",
        "optimizer",
        "scheduler",
        "callbacks",
        "logger",
        "experiment",
        "debug",
    ]
    return [
        *own,
        *groups,
        *(f"+{key}" for key in groups),
        "nowhere",
        "model.nowhere",
        "+new.key",
        "~loss",
        "seed@x",
        "hydra.run.dir",
    ]


VALUES = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(max_size=20).filter(lambda text: not set(text) & set("\0/")),  # a slash may lead to folders outside
    st.integers().map(str),
    st.floats().map(str),
)
OVERRIDES = st.lists(st.tuples(st.sampled_from(_keys()), VALUES).map("=".join), min_size=1, max_size=3)


@pytest.mark.slow
@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(overrides=OVERRIDES)
def test_every_override_ends_in_a_run_or_in_one_clear_line(overrides, tmp_path, monkeypatch, capsys):
    tmp_path.joinpath("in").mkdir(exist_ok=True)
    with monkeypatch.context() as patch:
        patch.chdir(tmp_path / "in")
        patch.setattr(experiment, "train", lambda data, module, trainer, ckpt_path: {"psnr": 1.0})
        patch.setattr(sys, "argv", ["train", *TINY, *overrides])
        patch.setenv("HYDRA_FULL_ERROR", "0")
        code = 0
        try:
            run_cli(main)
        except SystemExit as end:
            code = end.code
    said = capsys.readouterr().err
    assert "Traceback" not in said
    usage = code == 2 and "error: " in said  # argparse
    assert code == 0 or usage or re.fullmatch(r"error: .+", str(code)), overrides
    assert not list(tmp_path.rglob("pwned"))
