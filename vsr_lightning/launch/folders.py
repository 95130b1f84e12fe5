"""The folders that jobs write to: which are free, which can be resumed, and what has to stay inside."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from vsr_lightning.utils.errors import holds_a_run

RUNS = Path("runs")  # where conf/train.yaml puts them
SWEEP_FILE, HYDRA_FILE = "multirun.yaml", ".hydra/hydra.yaml"  # what a sweep and a run were started with
WRITTEN_TO = ("dirpath", "path", "save_dir")


def refuse_reuse(folder: Path, cfg: DictConfig) -> None:
    """Refuse a folder in which something was started already (RefusedError), unless ``cfg`` resumes it."""
    if not cfg.get("resume") and was_used(folder):
        raise holds_a_run(folder)


def was_used(folder: Path) -> bool:
    """Return whether a run or a sweep was started in the folder."""
    return any((folder / name).exists() for name in (SWEEP_FILE, HYDRA_FILE, "run.json"))


def claim(folder: Path, cfg: DictConfig) -> None:
    """Save the config in a job's folder, unless it is refused; Hydra itself (``hydra.output_subdir``) would not ask."""
    refuse_reuse(folder, cfg)
    path, hydra = folder / HYDRA_FILE, HydraConfig.get()
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        OmegaConf.save(cfg, path.with_name("config.yaml"))
        OmegaConf.save(hydra.overrides.task, path.with_name("overrides.yaml"))
        OmegaConf.save({"hydra": hydra}, path)  # last: where it is, the others are whole


def check_resumable(folder: Path, command: str, sweep: bool) -> None:
    """Raise ValueError unless it is a folder with a run, or a sweep, of a command such as ``train``, or empty."""
    if not folder.is_dir():
        raise ValueError(f"resume={folder} is no folder: give a run's, or with -m a sweep's, or auto")
    names = {path.name for path in folder.iterdir()}
    if SWEEP_FILE in names and not sweep:
        raise ValueError(f"resume={folder} is a sweep: repeat its command, with -m")
    kind, started = ("sweep", {SWEEP_FILE}) if sweep else ("run", {".hydra", "run.json"})
    if names and not (names & started and _command_of(folder, sweep) in (command, None)):
        raise ValueError(f"resume={folder} holds no {kind} of {command}: give a folder that does")


def newest(overrides: list[str], command: str, sweep: bool) -> Path | None:
    """Return the latest folder of a run, or of a sweep, that was started with the same command; None without."""
    for folder in sorted(RUNS.glob("*"), reverse=True):
        started = _load(folder / (SWEEP_FILE if sweep else ".hydra/overrides.yaml"))
        if sweep and started:
            started = started.hydra.overrides.task
        if _what_counts(started or []) == _what_counts(overrides) and _command_of(folder, sweep) == command:
            return folder
    return None


def check_inside(cfg: DictConfig, folder: Path) -> None:
    """Refuse a job of a sweep that would write outside its folder (ValueError)."""
    parts = {
        f"{group}.{name}": part for group in ("callbacks", "logger") for name, part in (cfg.get(group) or {}).items()
    }
    places = {f"{at}.{key}": part[key] for at, part in parts.items() for key in WRITTEN_TO if part and part.get(key)}
    for key, place in {"output_dir": cfg.output_dir, **places}.items():
        if not Path(place).resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{key}={place} leads out of the job's folder {folder}: leave it as it is in a sweep")


def _command_of(folder: Path, sweep: bool) -> str | None:
    """Return the name of the command that started a run or a sweep."""
    started = _load(folder / (SWEEP_FILE if sweep else HYDRA_FILE))
    return started.hydra.job.name if started else None


def _load(path: Path) -> Any:
    """Return what Hydra saved; None if there is no file, or an empty one of a command that was stopped meanwhile."""
    return OmegaConf.load(path) if path.is_file() and path.stat().st_size else None


def _what_counts(overrides: Iterable[str]) -> list[str]:
    """Return the overrides, without those of Hydra itself and ``resume=``, in one order."""
    return sorted(entry for entry in overrides if not entry.startswith(("resume=", "hydra.", "hydra/")))
