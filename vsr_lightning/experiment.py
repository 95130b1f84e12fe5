"""Train and score: ``train`` takes objects, ``run`` makes them from a config and records what happened."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning.pytorch as pl
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vsr_lightning.callbacks.last_checkpoint import newest_checkpoint, rewind
from vsr_lightning.data.datamodule import VideoData
from vsr_lightning.module import SuperResolution
from vsr_lightning.runs.checkpoint import PREVIOUS, check_checkpoint, load_weights
from vsr_lightning.runs.record import RUN_FILE, describe, device_name, leaves, recorded, write_record
from vsr_lightning.utils.errors import ERROR_FILE

log = logging.getLogger(__name__)
MAY_DIFFER = ("resume", "output_dir", "made_from", "full_traceback")  # without being another run


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
    module: SuperResolution = instantiate(cfg.module, _partial_=True, _convert_="all")(
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
        data: VideoData = instantiate(cfg.data, takes=module.model.takes)
        record.update(describe(data, module))
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


def make_trainer(cfg: DictConfig, record: dict[str, Any]) -> pl.Trainer:
    """Return the trainer that the config describes; record its device and precision."""
    trainer: pl.Trainer = instantiate(
        cfg.trainer,
        callbacks=list(instantiate(cfg.callbacks).values()),
        logger=list(instantiate(cfg.logger).values()),
    )
    record.update(device=device_name(trainer), precision=str(trainer.precision))
    return trainer
