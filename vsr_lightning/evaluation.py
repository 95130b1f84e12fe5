"""Score a trained network, or bicubic, on all test windows."""

import logging
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vsr_lightning.data.datamodule import VideoData
from vsr_lightning.experiment import Job, make_module, make_trainer, score
from vsr_lightning.reporting.clip_table import write_clip_table
from vsr_lightning.reporting.score_table import Run, write_table
from vsr_lightning.runs.read_record import METRICS_FILE, training_part
from vsr_lightning.runs.record import describe, recorded
from vsr_lightning.runs.trained import TrainedModel, load_run
from vsr_lightning.utils.config import overridden
from vsr_lightning.utils.precision import FULL, HALF, OLD_HALF, fast_precision

log = logging.getLogger(__name__)


def evaluate(cfg: DictConfig, job: Job) -> str:
    """Score what the config names; leave the tables, ``metrics.json`` and ``frames.csv`` in the job's folder.

    ``cfg`` is ``conf/evaluate.yaml`` as composed; the job's overrides of ``data`` and ``module`` replace the run's own.

    Raises:
        OSError: a file is missing.
        ValueError: a value is out of range, or nothing is left to score.
    """
    trained = load_run(cfg.run, cfg.ckpt) if cfg.run or cfg.ckpt else None
    about: dict[str, Any] = {"model": job.model, "loss": "", "overrides": list(job.overrides)}
    rows: list[Run] = []
    if trained:
        changes = [item.lstrip("+") for item in job.overrides if overridden(item).split(".")[0] in ("data", "module")]
        cfg = with_own_config(cfg, trained, job.overrides)
        about = {key: trained.record[key] for key in ("model", "loss")}
        about["training"] = training_part(trained.record)
        about["overrides"] = [*trained.record.get("overrides", []), *changes]
        about |= {"run": cfg.run, "checkpoint": str(trained.checkpoint), "epochs": trained.epochs}
        if "scores" in trained.record:
            rows.append((Path(f"{Path(cfg.run or cfg.ckpt).name}, as tested"), trained.record))
    cfg.trainer.precision = cfg.trainer.precision or FULL
    with recorded(job.folder, cfg, about, METRICS_FILE) as record:
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        module = make_module(cfg)
        if trained:
            own = module.state_dict().keys()  # a discriminator's, for one, may be left out
            module.load_state_dict({name: value for name, value in trained.weights.items() if name in own})
        elif not cfg.model.get("weights") and any(parameter.requires_grad for parameter in module.parameters()):
            raise ValueError("a network's scores need its weights: give run=FOLDER or ckpt=FILE instead of model=")
        data: VideoData = instantiate(cfg.data, takes=module.model.takes)
        if cfg.held_out:
            data.test_on_held_out()
        trainer = make_trainer(cfg)
        record.update(describe(data, module, trainer))
        module.check_sizes(data.train_size, data.test_size)
        record["scores"] = score(data, module, trainer)
        data.videos.check_unchanged()
        record["tested_frames"] = module.tested_frames
        record.setdefault("epochs", 0)
    rows.append((Path("now"), record))
    if not trainer.is_global_zero:
        return ""
    table, clips = write_table(job.folder, rows), write_clip_table(job.folder, record)
    return f"{clips}\n{table}" if clips else table


def with_own_config(cfg: DictConfig, trained: TrainedModel, overrides: tuple[str, ...]) -> DictConfig:
    """Return ``cfg`` with the run's own network, loss, precision, data and scoring save what was overridden of these.

    ValueError where that is the network or the loss.
    """
    own = trained.config
    own.get("module", {}).pop("early_metrics", None)  # of training and validation
    for key in sorted(map(overridden, overrides), key=lambda key: key.count(".")):  # data=, then what is in it
        group = key.split(".")[0]
        if group in ("model", "loss"):
            raise ValueError(f"{key}= is given by the run: leave it out, or leave out run= and ckpt=")
        if group in ("data", "module"):
            OmegaConf.update(own, key, OmegaConf.select(cfg, key), merge=False, force_add=True)
    cfg = cfg.copy()
    OmegaConf.set_struct(cfg, False)
    further = cfg.module.get("metrics") or {}
    for part in ("data", "model", "loss", "module"):
        cfg[part] = own.get(part, cfg[part])
    if further:
        cfg.module.metrics = OmegaConf.merge(cfg.module.get("metrics") or {}, further)
    cfg.trainer.precision = cfg.trainer.precision or _as_fast(own.trainer.precision, cfg.trainer.accelerator)
    return cfg


def _as_fast(precision: str, accelerator: str) -> str:
    """Return a run's precision; float32 for a half one in which this device, not that of the training, is not fast."""
    if precision not in (HALF, OLD_HALF) or fast_precision(accelerator) == precision:
        return precision
    if precision == OLD_HALF and torch.cuda.is_available() and accelerator != "cpu":
        return precision  # a GPU that is fast in bfloat16 is so in float16, too
    kept = f"trainer.precision={precision} keeps it"
    log.warning("trained in %s, scored in %s, since the former is not fast here: %s", precision, FULL, kept)
    return FULL
