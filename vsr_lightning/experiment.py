"""Train and score: both take objects; ``run_job`` makes them from a config and records what happened."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from lightning.pytorch import LightningDataModule, LightningModule, Trainer, seed_everything
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from vsr_lightning.callbacks.last_checkpoint import newest_checkpoint, rewind, seconds_before
from vsr_lightning.data.datamodule import VideoData
from vsr_lightning.module import SuperResolution
from vsr_lightning.runs.checkpoint import check_checkpoint, load_weights
from vsr_lightning.runs.comparable import first_difference
from vsr_lightning.runs.load_checkpoint import PREVIOUS
from vsr_lightning.runs.provenance import add_resume, environment
from vsr_lightning.runs.read_record import RUN_FILE, read_record
from vsr_lightning.runs.record import describe, in_checkpoint, recorded, write_record
from vsr_lightning.utils.errors import ERROR_FILE, RefusedError

log = logging.getLogger(__name__)
CONFIG_FILE, RESUMED_FILE = ".hydra/config.yaml", ".hydra/resumed.yaml"  # of a run's start, and of its last resume


@dataclass(frozen=True)
class Job:
    """One run: its folder, the names of its network and loss, what was overridden, whether it is one of a sweep."""

    folder: Path
    model: str
    loss: str
    overrides: tuple[str, ...] = ()
    sweep: bool = False

    @classmethod
    def of_hydra(cls) -> "Job":
        """Return the job that Hydra is running."""
        hydra = HydraConfig.get()
        folder, chosen, sweep = Path(hydra.runtime.output_dir), hydra.runtime.choices, hydra.mode == RunMode.MULTIRUN
        # an adversarial term is part of the loss
        loss = chosen["loss"] if chosen["module"] == "super_resolution" else f"{chosen['loss']} + {chosen['module']}"
        return cls(folder, chosen["model"], loss, tuple(hydra.overrides.task), sweep)


def train(data: VideoData, module: SuperResolution, trainer: Trainer, ckpt_path: str | None = None) -> dict[str, float]:
    """Fit a network unless it has nothing to learn, if given from the checkpoint ``ckpt_path`` on.

    Returns:
        ``loss`` and the mean of each metric in the last validation; empty where nothing was left to train.

    Raises:
        ValueError: frames that are too small for a metric.
    """
    module.check_sizes(data.train_size, data.test_size)
    if any(parameter.requires_grad for parameter in module.model.parameters()):  # else no discriminator either
        trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    prefix = "val/"
    scores = trainer.callback_metrics.items()
    return {name.removeprefix(prefix): float(value) for name, value in scores if name.startswith(prefix)}


def score(data: LightningDataModule, module: LightningModule, trainer: Trainer) -> dict[str, float]:
    """Test the weights as they are; return ``loss`` and the mean of each metric over the frames of the test videos."""
    (scores,) = trainer.test(module, datamodule=data, verbose=False)
    return {name.removeprefix("test/"): value for name, value in scores.items()}


def make_module(cfg: DictConfig) -> SuperResolution:
    """Return what the config describes: network and loss, and where something is to be trained, how.

    Raises:
        ValueError: a metric's file does not say where its keys belong, so that it would do nothing.
    """
    if stray := cfg.get("metrics"):
        line = "# @package module.metrics"
        raise ValueError(f"metrics: {', '.join(map(str, stray))} would do nothing: begin its YAML file with {line}")
    how = {key: instantiate(cfg[key]) for key in ("optimizer", "scheduler") if key in cfg}
    # the network first: its random weights are those of its seed, whatever else the module holds
    network, loss = instantiate(cfg.model), instantiate(cfg.loss)
    make = instantiate(cfg.module, _partial_=True, _convert_="all")
    module: SuperResolution = make(network, loss, **how)
    return module


def keep_precision(cfg: DictConfig, folder: Path) -> None:
    """With ``resume``, go on in the precision that ``trainer=fast`` chose when the run began, on whatever machine."""
    if cfg.resume and OmegaConf.is_interpolation(cfg.trainer, "precision") and (folder / RUN_FILE).exists():
        began = (read_record(folder).get("config") or {}).get("trainer", {}).get("precision")
        if began:
            log.info("going on in %s, in which the run began", began)
            cfg.trainer.precision = began


def run_job(cfg: DictConfig, job: Job) -> dict[str, float]:
    """Train and score what the config describes, recorded in the job's folder.

    With ``resume`` in the config, a finished run is left as it is, and an unfinished one goes on in its folder.

    Raises:
        ValueError: a value is out of range.
        RefusedError: the folder holds a run already, or another one than is to be resumed.
    """
    about = {"model": job.model, "loss": job.loss, "seed": cfg.seed, "overrides": list(job.overrides)}
    before = None
    if cfg.resume:
        before = read_record(job.folder) if (job.folder / RUN_FILE).exists() else {}  # stopped before it wrote one
        _refuse_another(before, about | {"config": OmegaConf.to_container(cfg, resolve=True)}, job.folder)
        if before.get("status") == "finished":
            _save_config(cfg, job.folder)
            log.info("%s has finished before: left as it is", job.folder)
            return before["scores"]
    with recorded(job.folder, cfg, about, before=before) as record:
        seed_everything(cfg.seed, workers=True, verbose=False)
        module = make_module(cfg)
        if cfg.init_from:
            record["init_from"] = load_weights(cfg.init_from, module)
        data: VideoData = instantiate(cfg.data, takes=module.model.takes)
        trainer = make_trainer(cfg)
        record.update(describe(data, module, trainer))
        ckpt_path = cfg.ckpt_path
        if before is not None:
            _refuse_another(before, record, job.folder)
            ckpt_path = _resume(job.folder, module, trainer, record) or ckpt_path
            _save_config(cfg, job.folder)
        elif ckpt_path:
            check_checkpoint(ckpt_path, module, record, trainer.max_epochs)
        unsaved = (before or {}).get("wall_time_s", 0)  # of a run from before checkpoints had it
        record["earlier_s"] = seconds_before(ckpt_path, unsaved) if ckpt_path else 0
        module.provenance = in_checkpoint(record)
        write_record(job.folder, record)
        log.info("%s under %s, on %s", job.model, job.loss or "no loss", record["data"]["name"])
        for logger in trainer.loggers:
            logger.log_hyperparams({key: record[key] for key in ("model", "loss", "seed", "data", "features")})
        if validation := train(data, module, trainer, ckpt_path):
            record["validation"] = validation
            write_record(job.folder, record)
        record["scores"] = score(data, module, trainer)
        data.videos.check_unchanged()
        record.update(epochs=trainer.current_epoch, tested_frames=module.tested_frames)
        if trainer.is_global_zero:
            (job.folder / "checkpoints" / PREVIOUS).unlink(missing_ok=True)
        return record["scores"]


def _refuse_another(before: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """Refuse to resume a run that was another training (RefusedError); one without a record is none yet."""
    # where the weights at the start came from may have been moved; their checksum is compared once they are read
    if before and (difference := first_difference(before, now, may_differ="init_from")):
        key, theirs, mine = difference
        if key.endswith(".checksum"):
            other = f"{folder} was started with other {key.removesuffix('.checksum')} (checksum {theirs}, now {mine})"
            raise RefusedError(f"resume: {other}: give what it began with, or start a run of its own")
        found = f"{folder} was started with {key}={theirs}, this command has {mine}"
        raise RefusedError(f"resume: {found}: repeat its command, or start a run of its own")


@rank_zero_only
def _save_config(cfg: DictConfig, folder: Path) -> None:
    """Save the config of a resume beside that of the start: files may have been moved, and names have changed."""
    before, now = last_config(folder), OmegaConf.merge(cfg, {"resume": None})
    if before not in (None, now):
        OmegaConf.save(now, folder / RESUMED_FILE)


def last_config(folder: Path) -> Any:
    """Return the config that a run was started with, or was last resumed with; None if none is there."""
    files = [folder / name for name in (RESUMED_FILE, CONFIG_FILE)]
    return next((OmegaConf.load(path) for path in files if path.exists()), None)


def _resume(folder: Path, module: SuperResolution, trainer: Trainer, record: dict[str, Any]) -> str | None:
    """Return the run's newest checkpoint, checked, and cut off what was logged after it; None if there is none."""
    if newest := newest_checkpoint(folder):
        check_checkpoint(str(newest), module, record)
        add_resume(record)
        log.info("going on from %s", newest)
    else:
        record.update(environment())  # all of it is trained by this code
        record.pop("resumed", None)
    if trainer.is_global_zero:
        rewind(folder, newest)
        (folder / ERROR_FILE).unlink(missing_ok=True)
    return str(newest) if newest else None


def make_trainer(cfg: DictConfig) -> Trainer:
    """Return the trainer that the config describes, with its callbacks and loggers save those set to null."""
    parts = {
        group: [it for it in instantiate(cfg.get(group) or {}).values() if it] for group in ("callbacks", "logger")
    }
    trainer: Trainer = instantiate(cfg.trainer, **parts)
    return trainer
