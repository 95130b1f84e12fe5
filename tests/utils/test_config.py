"""The configs say what the paper says, and every key is read."""

import inspect

import pytest
import yaml
from hydra.utils import get_object

from tests.support import compose_train
from vsr_lightning.utils.config import CONF


def test_the_defaults_are_the_papers():
    cfg = compose_train()
    assert (cfg.trainer.max_epochs, cfg.optimizer.lr) == (50, 1e-4)
    assert (cfg.scheduler.milestones, cfg.scheduler.gamma) == ([5, 15], 0.1)
    assert (cfg.data.train_videos, cfg.data.test_videos, cfg.data.frames) == (8000, 2000, 5)
    degradation = {key: value for key, value in cfg.data.degradation.items() if key != "_target_"}
    assert degradation == {"scale": 2, "interpolation": "bicubic", "kernel_size": 3, "sigma": [0.1, 2.0]}


def test_paper_is_strict():
    cfg = compose_train("experiment=paper", "loss=perceptual")
    assert (cfg.data.source, cfg.loss.features, cfg.loss.layers, cfg.trainer.max_epochs) == (
        "published",
        "imagenet",
        "all",
        50,
    )


def test_quick_needs_no_download():
    cfg = compose_train("experiment=quick", "loss=perceptual")
    assert (cfg.data.source, cfg.loss.features) == ("generated", "bundled")


OURS = sorted(set(CONF.rglob("*.yaml")) - set(CONF.glob("hydra/**/*.yaml")))


def _arguments(target):
    """Return the names that a call takes; where a class hands the rest on, those of the class it inherits from too."""
    parameters = inspect.signature(target).parameters
    hands_on = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values())
    return set(parameters).union(_arguments(target.__base__) if hands_on else ())


@pytest.mark.parametrize("path", OURS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_key_of_a_config_is_an_argument_of_its_target(path):
    def check(node):
        if isinstance(node, dict):
            if "_target_" in node:
                keys = {key for key in node if not key.startswith("_")} - {"defaults"}
                assert keys <= _arguments(get_object(node["_target_"]))
            for child in node.values():
                check(child)

    check(yaml.safe_load(path.read_text()))
