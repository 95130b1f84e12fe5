"""Train and score: ``train`` takes objects, ``run`` makes them from a config and records what happened."""

import json
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
import torch
from filelock import BaseFileLock, FileLock, Timeout
from hydra.utils import instantiate
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from vsr_lightning.checkpoint import PREVIOUS, check_checkpoint, load_weights
from vsr_lightning.cli import ERROR_FILE, one_line
from vsr_lightning.data.video_data import VideoData
from vsr_lightning.last_checkpoint import Interrupted, newest_checkpoint, rewind
from vsr_lightning.losses.features import Features, load_features
from vsr_lightning.module import SuperResolution
from vsr_lightning.provenance import RUN_FILE, environment, leaves, peak_memory_mb, write_json

log = logging.getLogger(__name__)
LOCK_FILE = ".lock"
MAY_DIFFER = ("resume", "output_dir", "made_from", "full_traceback")  # without being another run


class FolderInUseError(ValueError):
    """Two processes would write into one run's folder."""


@dataclass(frozen=True)
class Job:
    """One run: its folder, the names of its network and loss, what was overridden, whether it is one of a sweep."""

    folder: Path
    model: str
    loss: str
    overrides: tuple[str, ...] = ()
    sweep: bool = False


def train(
    data: pl.LightningDataModule, module: SuperResolution, trainer: pl.Trainer, ckpt_path: str | None = None
) -> dict[str, float]:
    """Fit a network unless it has nothing to learn, and score the last epoch's weights on all test windows.

    Args:
        data: the videos.
        module: the network and its loss.
        trainer: how, and for how long.
        ckpt_path: checkpoint to go on from; one with nothing left to train is scored as it is.

    Returns:
        ``loss`` and the scores of :func:`frame_scores` and :func:`perceptual_scores` on the test videos.
    """
    if any(parameter.requires_grad for parameter in module.parameters()):
        trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return score(data, module, trainer)


def score(data: pl.LightningDataModule, module: pl.LightningModule, trainer: pl.Trainer) -> dict[str, float]:
    """Test the weights as they are; return the scores without ``test/`` before their names."""
    (scores,) = trainer.test(module, datamodule=data, verbose=False)
    return {name.removeprefix("test/"): value for name, value in scores.items()}


def make_module(cfg: DictConfig) -> SuperResolution:
    """Return what the config describes: network and loss, and where something is to be trained, how."""
    how = {key: instantiate(cfg[key]) for key in ("optimizer", "scheduler") if key in cfg}
    module: SuperResolution = instantiate(cfg.module, _partial_=True)(
        instantiate(cfg.model), instantiate(cfg.loss), **how
    )
    return module


def run(cfg: DictConfig, job: Job) -> dict[str, float]:
    """Train and score what the config describes; ``run.json`` in the job's folder tells what it was made from.

    With ``resume`` in the config, a finished run is left as it is, and an unfinished one goes on in its folder.

    Raises:
        ValueError: a value is out of range, the folder holds a run already, or another one than is to be resumed.
    """
    before = _earlier(cfg, job.folder) if cfg.resume else {}
    if before.get("status") == "finished":
        log.info("%s has finished before: left as it is", job.folder)
        return before["scores"]
    about = {"model": job.model, "loss": job.loss, "seed": cfg.seed, "overrides": list(job.overrides)}
    with recorded(job.folder, cfg, about) as record:
        module = make_module(cfg)
        if cfg.init_from:
            record["init_from"] = load_weights(cfg.init_from, module)
        data: VideoData = instantiate(cfg.data)
        record.update(made_from(data, module))
        cfg.made_from = "-".join(
            part["name"].replace(" ", "_") for part in (record["data"], record["features"]) if part
        )
        record["config"]["made_from"] = cfg.made_from
        log.info("%s under %s, on %s", job.model, job.loss or "no loss", cfg.made_from)
        trainer = make_trainer(cfg, record)
        module.provenance = {key: record[key] for key in ("model", "loss", "seed", "git", "data", "features", "config")}
        write_record(job.folder, record)
        parameters = {key: record[key] for key in ("model", "loss", "seed", "data", "features")}
        ckpt_path = _starting_point(cfg, job.folder, module, trainer)
        for logger in trainer.loggers:
            logger.log_hyperparams(parameters)
        record["scores"] = train(data, module, trainer, ckpt_path)
        data.videos.check_unchanged()
        record["epochs"] = trainer.current_epoch
        if trainer.is_global_zero:
            (job.folder / "checkpoints" / PREVIOUS).unlink(missing_ok=True)
        return record["scores"]


def _starting_point(cfg: DictConfig, folder: Path, module: SuperResolution, trainer: pl.Trainer) -> str | None:
    """Return the checkpoint to go on from, checked; where a run is resumed, cut off what it logged after that."""
    if not cfg.resume:
        if cfg.ckpt_path:
            check_checkpoint(cfg.ckpt_path, module, trainer.max_epochs)
        return cfg.ckpt_path
    newest = newest_checkpoint(folder)
    if trainer.is_global_zero:
        rewind(folder, newest)
        (folder / ERROR_FILE).unlink(missing_ok=True)
    if newest is None:
        return cfg.ckpt_path
    check_checkpoint(str(newest), module)
    log.info("going on from %s", newest)
    return str(newest)


def _earlier(cfg: DictConfig, folder: Path) -> dict[str, Any]:
    """Return the record of the run to be resumed, empty if it was stopped before it wrote one.

    Raises:
        ValueError: that run was another one.
    """
    path = folder / RUN_FILE
    if not path.exists():
        return {}
    before: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    then, now = (
        dict(leaves(config))
        for config in (before["config"], cast(dict[str, Any], OmegaConf.to_container(cfg, resolve=True)))
    )
    for key in sorted({*then, *now}):
        if key.split(".")[0] not in MAY_DIFFER and then.get(key) != now.get(key):
            raise ValueError(
                f"resume: {folder} was started with {key}={then.get(key)}, this command has {now.get(key)}: "
                "repeat its command, or start a run of its own"
            )
    return before


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


def make_trainer(cfg: DictConfig, record: dict[str, Any]) -> pl.Trainer:
    """Return the trainer that the config describes; record its device and precision."""
    trainer: pl.Trainer = instantiate(
        cfg.trainer,
        callbacks=list(instantiate(cfg.callbacks).values()),
        logger=list(instantiate(cfg.logger).values()),
    )
    record.update(device=device_name(trainer), precision=str(trainer.precision))
    return trainer


def made_from(data: VideoData, module: SuperResolution) -> dict[str, Any]:
    """Return the identity of videos, of the loss's feature network (None if it has none) and of what judges."""
    videos, degradation = data.videos, data.degradation
    features = getattr(module.loss, "features", None)
    return {
        "data": {
            "name": videos.name,
            "description": videos.description,
            "checksum": videos.checksum,
            "train_videos": len(data.train_videos),
            "test_videos": len(data.test_videos),
            "frames": data.frames,
            "clip": list(data.clip),
            "scored": [data.scored.start, data.scored.stop],
            "test_blur": "one a video",
            "degradation": {**vars(degradation), "sigma": list(degradation.sigma)},
        },
        "features": features and _identity(features),
        "judge": _identity(load_features("bundled")),  # of the score ``perceptual``
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
