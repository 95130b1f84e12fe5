"""``run.json``: what a run was made from and how it ended. A reader finds it whole at any moment."""

import hashlib
import logging
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
from torch import nn

from vsr_lightning.data.datamodule import VideoData
from vsr_lightning.losses.features import Features
from vsr_lightning.losses.load_features import load_features
from vsr_lightning.module import SuperResolution
from vsr_lightning.runs.migrate import FORMAT
from vsr_lightning.runs.provenance import environment
from vsr_lightning.runs.read_record import RUN_FILE
from vsr_lightning.utils.errors import Interrupted, RefusedError, holds_a_run, one_line
from vsr_lightning.utils.files import write_json

NAMED_CLIPS = 30  # of a test set, at most, which has a table of its clips


@contextmanager
def recorded(
    folder: Path, cfg: DictConfig, about: dict[str, Any], file: str = RUN_FILE, before: dict[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Keep the record of a run: lock its folder, and at its end, however that comes, write ``file``.

    ``about`` is what is known of it at the start beside ``cfg``. A resumed run goes on with ``before``, the record of
    an earlier start; without one, the folder must hold none.

    Raises:
        ValueError: ``seed``, ``trainer.max_epochs`` or ``trainer.limit_test_batches`` is out of range.
        RefusedError: the folder holds a run already, or another process is at work there.
    """
    lock = lock_folder(folder)
    begin = time.monotonic()
    record = {**environment(), **(before or {}), **about, "format": FORMAT, "status": "running"}
    record.pop("error", None)

    def close(**end: Any) -> None:
        record.update(end, wall_time_s=round(record.get("earlier_s", 0) + time.monotonic() - begin, 2))
        write_record(folder, record, file)

    try:
        if lock and before is None and any((folder / name).exists() for name in (RUN_FILE, file)):
            raise holds_a_run(folder)
        record["config"] = OmegaConf.to_container(cfg, resolve=True)
        _check_values(cfg)
        # 0 workers are the fastest here, a folder is refused where it matters, and LeafSpec is used by Lightning itself
        warnings.filterwarnings("ignore", message=".*(does not have many workers|exists and is not empty|LeafSpec)")
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        # an optimizer's averages for units that died halve for ever, and processors are slow in numbers below 1e-38;
        # threads inherit this from the one that starts them
        torch.set_flush_denormal(True)
        yield record
    except RefusedError:
        raise  # the record in the folder belongs to another run
    except BaseException as error:
        interrupted = isinstance(error, (Interrupted, KeyboardInterrupt))
        close(status="interrupted" if interrupted else "failed", error=one_line(error))
        raise
    else:
        close(status="finished")
    finally:
        if lock:
            lock.release()


@rank_zero_only
def lock_folder(folder: Path) -> BaseFileLock:
    """Keep a folder to this process until it ends or releases the lock; RefusedError where another one has it."""
    lock = FileLock(folder / ".lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise RefusedError(f"another process is at work in {folder}: let it finish, or stop it first") from None
    return lock


def _check_values(cfg: DictConfig) -> None:
    epochs = cfg.trainer.get("max_epochs")
    if epochs is not None and (not isinstance(epochs, int) or epochs < 1):
        raise ValueError(f"trainer.max_epochs={epochs} trains nothing: choose a whole number, at least 1")
    if not isinstance(cfg.seed, int) or cfg.seed < 0:
        raise ValueError(f"seed={cfg.seed} can't be used: choose a whole number, at least 0")
    if cfg.trainer.get("limit_test_batches") == 0:
        raise ValueError("trainer.limit_test_batches=0 leaves nothing to score: choose a share, or at least 1")


def describe(data: VideoData, module: SuperResolution, trainer: pl.Trainer) -> dict[str, Any]:
    """Return what a run works with, also what PSNR and SSIM look at; ``features`` is None for a loss without any."""
    degradation = data.degradation
    return {
        "data": {
            **{key: getattr(data.videos, key) for key in ("name", "description", "checksum")},
            "train_videos": len(data.train_videos),
            "test_videos": len(data.test_videos),
            **({"held_out": True} if data.tests_held_out else {}),
            **{key: getattr(data, key) for key in ("takes", "frames", "batch_size")},
            "frame_range": list(data.frame_range),
            "scored": [data.scored.start, data.scored.stop],
            **_test_clips(data),
            "degradation": {**vars(degradation), "sigma": list(degradation.sigma)},
        },
        "features": features_of(module.loss),
        "metric_features": _identity(load_features("bundled")),  # of the score ``vgg_distance``
        "scoring": dict(module.scoring),
        "device": device_name(trainer),
        "precision": str(trainer.precision),
    }


def _test_clips(data: VideoData) -> dict[str, dict[str, str]]:
    """Return the names of the test clips by their numbers, where they have names and are few enough for a table."""
    clips = getattr(data.videos, "clips", None)
    if clips is None or len(data.test_videos) > NAMED_CLIPS:
        return {}
    return {"test_clips": {str(number): clips[number].name for number in data.test_videos}}


def in_checkpoint(record: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a run's record that its checkpoints carry, as plain values."""
    keys = ("format", "model", "loss", "seed", "git", "resumed", "data", "features", "config")
    return {key: record[key] for key in keys if key in record}


def features_of(loss: nn.Module) -> dict[str, str] | None:
    """Return name and checksum of the features that a loss looks through; of a sum with several, of all of them."""
    parts = (getattr(part, "features", None) for part in loss.modules())
    found = list({it.checksum: it for it in parts if isinstance(it, Features)}.values())
    if len(found) < 2:
        return _identity(*found) if found else None
    name, checksum = (" + ".join(getattr(it, key) for it in found) for key in ("name", "checksum"))
    networks = {it.network for it in found}
    network = networks.pop() if len(networks) == 1 else ""
    return {"name": name, "checksum": hashlib.sha256(checksum.encode()).hexdigest(), "network": network}


def _identity(features: Features) -> dict[str, str]:
    return {key: getattr(features, key) for key in ("name", "checksum", "network")}


def device_name(trainer: pl.Trainer) -> str:
    """Return the device in words: a GPU's name, or the CPU with its number of threads."""
    device = trainer.strategy.root_device
    cpu = f"{device.type} ({torch.get_num_threads()} threads)"
    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu


@rank_zero_only
def write_record(folder: Path, record: dict[str, Any], file: str = RUN_FILE) -> None:
    """Write ``run.json``, or ``file``."""
    write_json(folder / file, record)
