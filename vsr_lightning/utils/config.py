"""Where Hydra finds the configs, and which losses it finds there for ``loss=mixed`` to sum."""

import argparse
import re
import sys
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import cast

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

_PACKAGE = Path(__file__).parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"  # installed, or a checkout


def load_group(group: str, name: str) -> DictConfig:
    """Return ``conf/GROUP/NAME.yaml`` with its interpolations unresolved."""
    cfg = OmegaConf.load(CONF / group / f"{name}.yaml")
    assert isinstance(cfg, DictConfig)
    return cfg


class ConfigFolders(SearchPathPlugin):
    """Adds ``conf`` of the folder where the command starts to what Hydra searches, after the project's own.

    Hydra asks before it composes; this is when all losses are listed as ``loss_terms``, on which
    ``conf/loss/mixed.yaml`` builds, so that a new loss joins the sum by its file alone.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add the folder, and store ``loss_terms``."""
        here = Path("conf").resolve()
        if here.is_dir() and here != CONF.resolve():
            search_path.append("vsr_lightning", f"file://{here}")
        names = sorted({name for place in (CONF, here, *_given()) for name in _losses(place)})
        terms = {
            "defaults": [*(f"/loss/{name}@losses.{name}" for name in names), "_self_"],
            "terms": dict.fromkeys(names, 0),
            "losses": {name: {"_partial_": True} for name in names},
        }
        ConfigStore.instance().store(name="loss_terms", node=terms, provider="vsr_lightning")


def _given() -> list[Path]:
    """Return the folders of configs that the command line names."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--config-dir", "-cd", nargs="?", action="append", default=[])
    given, others = parser.parse_known_args(sys.argv[1:])
    entries = [entry for entry in others if entry.startswith("hydra.searchpath=")]
    overrides = OverridesParser.create().parse_overrides(entries)
    places: list[str] = [*given.config_dir, *chain(*(cast(list[str], entry.value() or []) for entry in overrides))]
    packages = [place.removeprefix("pkg://").replace("/", ".") for place in places if place.startswith("pkg://")]
    folders = [place.removeprefix("file://") for place in places if not place.startswith("pkg://")]
    return [*(cast(Path, files(package)) for package in packages), *map(Path, folders)]


def _losses(conf: Path) -> list[str]:
    """Return the names in ``conf/loss``, without those with a defaults list: such a file is made of other losses."""
    folder = conf / "loss"
    found = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    alone = [path.name for path in found if not re.search(rb"^defaults:", path.read_bytes(), re.MULTILINE)]
    return [name.removesuffix(".yaml") for name in alone if re.fullmatch(r"[^.]+\.yaml", name)]


Plugins.instance().register(ConfigFolders)
