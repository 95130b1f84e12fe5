"""Hundreds of random and hostile overrides: each ends in a run or in one clear line."""

import math
import random
import re
import string

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from tests.support import TINY
from vsr_lightning import experiment
from vsr_lightning.runs.comparable import leaves
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
    others = ("nowhere", "model.nowhere", "+new.key", "~loss", "seed@x", "hydra.run.dir")
    return [*own, *groups, *(f"+{key}" for key in groups), *others]


def _value(chance):
    text = string.printable.replace("/", "") + "\x7f\u0301é☃𝄞"  # a slash may lead to folders outside
    return chance.choice((
        chance.choice(HOSTILE),
        "".join(chance.choices(text, k=chance.randrange(20))),
        chance.randint(-(2**70), 2**70) >> chance.randrange(71),
        chance.choice((math.nan, math.inf, chance.uniform(-1, 1) * 10.0 ** chance.randrange(-300, 300))),
    ))  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))  # several tests, so that several processes can share them
def test_every_override_ends_in_a_run_or_in_one_clear_line(seed, vsr, tmp_path, monkeypatch, capsys):
    chance, keys = random.Random(seed), _keys()
    monkeypatch.setattr(experiment, "train", lambda data, module, trainer, ckpt_path: {"psnr": 1.0})
    for _ in range(30):
        overrides, code = [f"{chance.choice(keys)}={_value(chance)}" for _ in range(chance.randint(1, 3))], 0
        try:
            vsr(*overrides)
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr().err
        assert "Traceback" not in said, overrides
        usage = code == 2 and "error: " in said  # argparse
        assert code == 0 or usage or re.fullmatch(r"error: .+", str(code)), overrides
    assert not list(tmp_path.parent.rglob("pwned"))
