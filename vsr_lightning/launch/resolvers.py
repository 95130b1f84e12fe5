"""Resolvers for ``conf``: run folders, and how many jobs fit on this machine. No PyTorch until one needs it."""

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

RESUME = "resume="
SWEEP, SWEEP_FILE = "_sweep", "multirun.yaml"  # how a sweep's folder ends, and what Hydra writes there first
WRITTEN_TO = ("dirpath", "path", "save_dir")
ANSWER = "VSR_LIGHTNING_RESUME_AUTO"  # environment variable: the folder asked for, and the one that resume=auto found


def run_folder(default: str, *, _root_: DictConfig) -> str:
    """Return the folder that ``resume=`` names or finds, else the default.

    Raises:
        ValueError: it is no folder, or none of a run, with -m of a sweep.
    """
    task = list(_root_.hydra.overrides.task)
    chosen = next((entry.removeprefix(RESUME).strip("\"'") for entry in reversed(task) if entry.startswith(RESUME)), "")
    if chosen in ("", "null"):
        return default
    if chosen == "auto":
        return _newest(default, _without_resume(task))
    _check_resumable(Path(chosen), sweep=default.endswith(SWEEP))
    return chosen


def _check_resumable(folder: Path, sweep: bool) -> None:
    if not folder.is_dir():
        raise ValueError(f"resume={folder} is no folder: give a run's, or with -m a sweep's, or auto")
    names = {path.name for path in folder.iterdir()}
    if SWEEP_FILE in names and not sweep:
        raise ValueError(f"resume={folder} is a sweep: repeat its command, with -m")
    if names and SWEEP_FILE not in names and (sweep or not names & {".hydra", "run.json"}):
        raise ValueError(f"resume={folder} holds no {'sweep' if sweep else 'run'}: give a folder that does")


def one_name(text: object) -> str:
    """Return the text as one part of a path: a value such as ``seed=../x`` can't lead out of the folder."""
    return re.sub(r"[^\w.,=+-]", "_", str(text))


def local_devices() -> int:
    """Return how many jobs this machine can run at a time: its GPUs, or where it has none its cores."""
    import torch

    return torch.cuda.device_count() or os.cpu_count() or 1


def check_subdir(subdir: str) -> None:
    """Refuse a sweep whose jobs' folders would lie outside its own (ValueError)."""
    if Path(subdir).is_absolute() or ".." in Path(subdir).parts:
        raise ValueError(f"hydra.sweep.subdir={subdir} leads out of the sweep's folder: choose a name in it")


def check_inside(cfg: DictConfig, folder: Path) -> None:
    """Refuse a job of a sweep that would write outside its folder (ValueError)."""
    places = {"output_dir": cfg.output_dir}
    for group in ("callbacks", "logger"):
        for name, part in (cfg[group] or {}).items():
            places |= {f"{group}.{name}.{key}": part[key] for key in WRITTEN_TO if part and part.get(key)}
    for key, place in places.items():
        if not Path(place).resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{key}={place} leads out of the job's folder {folder}: leave it as it is in a sweep")


def _newest(default: str, task: list[str]) -> str:
    # asked again in each job, whose overrides are no longer the sweep's, and by some launchers in another process
    asked, _, answer = os.environ.get(ANSWER, "").partition("\n")
    if asked == default:
        return answer
    found = [
        path
        for path in sorted(Path(default).parent.glob("*"), reverse=True)
        if path.name.endswith(SWEEP) == default.endswith(SWEEP) and _overrides(path) == task
    ]
    if not found:
        print("resume=auto: no earlier start of this command was found; this is the first", file=sys.stderr)
    answer = str(found[0]) if found else default
    os.environ[ANSWER] = f"{default}\n{answer}"
    return answer


def _overrides(folder: Path) -> list[str] | None:
    """Return what a run or a sweep was started with."""
    if (path := folder / SWEEP_FILE).is_file():
        return _without_resume(OmegaConf.load(path).hydra.overrides.task)
    if (path := folder / ".hydra" / "overrides.yaml").is_file():
        return _without_resume(list(OmegaConf.load(path)))
    return None


def _without_resume(task: Sequence[str]) -> list[str]:
    return sorted(entry for entry in task if not entry.startswith(RESUME))


OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)
OmegaConf.register_new_resolver("one_name", one_name, replace=True)
OmegaConf.register_new_resolver("local_devices", local_devices, replace=True)
