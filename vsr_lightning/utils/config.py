"""Where Hydra finds the configs, the losses there that ``loss=mixed`` sums, and the resolvers that they use."""

import argparse
import os
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import cast

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf

_PACKAGE = Path(__file__).parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"  # installed, or a checkout


def overridden(override: str) -> str:
    """Return the key or group that an override is of, such as ``data.frames`` of ``++data.frames=7``."""
    return OverridesParser.create().parse_override(override).key_or_group


def one_name(text: object) -> str:
    """Return the text as one part of a path: a value such as ``seed=../x`` can't lead out of the folder."""
    return re.sub(r"[^\w.,=+-]", "_", str(text))


def local_devices() -> int:
    """Return how many jobs this machine can run at a time: its GPUs, or where it has none its cores."""
    import torch  # here, so that --help and --cfg need no PyTorch

    return torch.cuda.device_count() or os.cpu_count() or 1


def fast_precision(accelerator: str) -> str:
    """Return the precision in which an accelerator trains fastest."""
    from vsr_lightning.utils import precision  # here, so that --help and --cfg need no PyTorch

    return precision.fast_precision(accelerator)


class ConfigFolders(SearchPathPlugin):
    """Adds ``conf`` of the folder where the command starts to what Hydra searches, after the project's own.

    Hydra asks before it composes; this is when all losses are listed as ``loss_terms``, on which
    ``conf/loss/mixed.yaml`` builds, so that a new loss joins the sum by its file alone.
    """

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
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
    places: list[str] = given.config_dir
    for override in OverridesParser.create().parse_overrides(entries):
        places += cast(list[str], override.value() or [])
    packages = [place.removeprefix("pkg://").replace("/", ".") for place in places if place.startswith("pkg://")]
    folders = [Path(place.removeprefix("file://")) for place in places if not place.startswith("pkg://")]
    return folders + [cast(Path, files(package)) for package in packages]


def _losses(conf: Path) -> list[str]:
    """Return the names in ``conf/loss``, without those with a defaults list: such a file is made of other losses."""
    folder = conf / "loss"
    found = [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    alone = [path.name for path in found if not re.search(rb"^defaults:", path.read_bytes(), re.MULTILINE)]
    return [name.removesuffix(".yaml") for name in alone if re.fullmatch(r"[^.]+\.yaml", name)]


Plugins.instance().register(ConfigFolders)
for resolver in (one_name, local_devices, fast_precision):
    OmegaConf.register_new_resolver(resolver.__name__, resolver, replace=True)
