"""``run.json``: what a run was made from and how it ended, whole at any moment."""

import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from filelock import BaseFileLock, FileLock, Timeout
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from vsr_lightning.data.datamodule import VideoData
from vsr_lightning.losses.vgg import Features, load_features
from vsr_lightning.module import SuperResolution
from vsr_lightning.runs.migrate import upgrade_record
from vsr_lightning.runs.provenance import environment, peak_memory_mb
from vsr_lightning.utils.errors import FolderInUseError, Interrupted, one_line
from vsr_lightning.utils.files import write_json

RUN_FILE = "run.json"
LOCK_FILE = ".lock"


@contextmanager
def recorded(folder: Path, cfg: DictConfig, about: dict[str, Any], file: str = RUN_FILE) -> Iterator[dict[str, Any]]:
    """Check, seed and record a run; ``file`` tells at its end, however that comes, what it was made from.

    Raises:
        ValueError: the folder holds a run already, or ``seed`` or ``trainer.max_epochs`` is out of range.
        FolderInUseError: another process is at work there.
    """
    lock = lock_folder(folder)
    if not cfg.get("resume"):
        _refuse_reuse(folder, file)
    begin = time.monotonic()
    record: dict[str, Any] = {"status": "running", **about, **environment()}
    try:
        record["config"] = OmegaConf.to_container(cfg, resolve=True)
        _prepare(cfg)
        yield record
    except BaseException as error:
        interrupted = isinstance(error, (Interrupted, KeyboardInterrupt))
        record.update(status="interrupted" if interrupted else "failed", error=one_line(error))
        raise
    else:
        record.update(status="finished")
    finally:
        record.update(wall_time_s=round(time.monotonic() - begin, 2), peak_memory_mb=peak_memory_mb())
        write_record(folder, record, file)
        if lock:
            lock.release()


@rank_zero_only
def lock_folder(folder: Path) -> BaseFileLock:
    """Keep a folder to this process until it ends, however that comes, or releases the lock.

    Raises:
        FolderInUseError: another process has it.
    """
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise FolderInUseError(f"another process is at work in {folder}: let it finish, or stop it first") from None
    return lock


def _prepare(cfg: DictConfig) -> None:
    epochs = cfg.trainer.get("max_epochs")
    if epochs is not None and (not isinstance(epochs, int) or epochs < 1):
        raise ValueError(f"trainer.max_epochs={epochs} trains nothing: choose a whole number, at least 1")
    if not isinstance(cfg.seed, int) or cfg.seed < 0:
        raise ValueError(f"seed={cfg.seed} can't be used: choose a whole number, at least 0")
    if cfg.trainer.get("limit_test_batches") == 0:
        raise ValueError("trainer.limit_test_batches=0 leaves nothing to score: choose a share, or at least 1")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # 0 is the fastest here
    warnings.filterwarnings("ignore", message=".*exists and is not empty.*")  # we say so where it matters
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own affair
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    pl.seed_everything(cfg.seed, workers=True, verbose=False)


def describe(data: VideoData, module: SuperResolution) -> dict[str, Any]:
    """Return the identity of videos, of the loss's feature network (None if it has none) and of the metric's."""
    videos, degradation = data.videos, data.degradation
    features = getattr(module.loss, "features", None)
    return {
        "data": {
            "name": videos.name,
            "description": videos.description,
            "checksum": videos.checksum,
            "train_videos": len(data.train_videos),
            "test_videos": len(data.test_videos),
            "takes": data.takes,
            "frames": data.frames,
            "batch_size": data.batch_size,
            "frame_range": list(data.frame_range),
            "scored": [data.scored.start, data.scored.stop],
            "test_blur": "one a video",
            "degradation": {**vars(degradation), "sigma": list(degradation.sigma)},
        },
        "features": features and _identity(features),
        "metric_features": _identity(load_features("bundled")),  # of the score ``vgg_distance``
        "scoring": dict(module.scoring),
    }


def _identity(features: Features) -> dict[str, str]:
    return {"name": features.name, "checksum": features.checksum}


def device_name(trainer: pl.Trainer) -> str:
    """Return the device in words: a GPU's name, or the CPU with its number of threads."""
    device = trainer.strategy.root_device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({torch.get_num_threads()} threads)"


@rank_zero_only
def _refuse_reuse(folder: Path, file: str) -> None:
    if (folder / RUN_FILE).exists() or (folder / file).exists():
        raise ValueError(f"{folder} holds a run already: choose another hydra.run.dir or hydra.sweep.dir")


@rank_zero_only
def write_record(folder: Path, record: dict[str, Any], file: str = RUN_FILE) -> None:
    """Write ``run.json``, or ``file``."""
    write_json(folder / file, record)


def read_runs(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return each run's folder and ``run.json`` below ``folder``, in the folders' order."""
    files = sorted(folder.rglob(RUN_FILE), key=lambda path: _by_number(path.parent))
    return [(path.parent, upgrade_record(json.loads(path.read_text(encoding="utf-8")))) for path in files]


def _by_number(folder: Path) -> tuple[int, str]:
    number = folder.name.split("_")[0]
    return (int(number) if number.isdigit() else sys.maxsize, str(folder))


def leaves(config: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a config's values with their dotted keys."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
