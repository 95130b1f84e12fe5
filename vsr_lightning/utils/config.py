"""Where the configs are: inside the package once installed, beside it in a checkout."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

_PACKAGE = Path(__file__).parents[1]
CONF = _PACKAGE / "conf" if (_PACKAGE / "conf").is_dir() else _PACKAGE.parent / "conf"


def load_group(group: str, name: str) -> DictConfig:
    """Return ``conf/GROUP/NAME.yaml`` with its interpolations unresolved."""
    cfg = OmegaConf.load(CONF / group / f"{name}.yaml")
    assert isinstance(cfg, DictConfig)
    return cfg
