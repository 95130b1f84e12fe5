"""Score a trained network, or bicubic, on all test windows."""

from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from vsr_lightning.data.datamodule import VideoData
from vsr_lightning.experiment import make_module, make_trainer, score
from vsr_lightning.reporting.score_table import Run, notes, score_rows
from vsr_lightning.runs.record import describe, recorded
from vsr_lightning.runs.trained import TrainedModel, load_run
from vsr_lightning.utils.files import write_text
from vsr_lightning.utils.formatting import markdown

METRICS_FILE = "metrics.json"


def run(cfg: DictConfig, folder: Path, overrides: tuple[str, ...] = ()) -> str:
    """Return the table that the config asks for; it, ``metrics.json`` and ``frames.csv`` are left in ``folder``.

    Args:
        cfg: ``conf/evaluate.yaml`` as composed.
        folder: where the files go.
        overrides: what was given on the command line; ``data.*``, ``module.*`` and ``trainer.precision`` go before the
            run's own.

    Raises:
        OSError: a file is missing.
        ValueError: a value is out of range, or nothing is left to score.
    """
    trained = load_run(cfg.run, cfg.ckpt) if cfg.run or cfg.ckpt else None
    cfg = as_trained(cfg, trained, overrides) if trained else cfg
    cfg.trainer.precision = cfg.trainer.precision or "32-true"
    rows: list[Run] = []
    about: dict[str, Any] = {"model": cfg.model._target_.rsplit(".", 1)[-1].lower(), "loss": "", "overrides": []}
    if trained:
        name = Path(cfg.run).name if cfg.run else trained.checkpoint.name  # type: ignore[union-attr]
        about |= {key: trained.record[key] for key in ("model", "loss")}
        own = trained.record.get("overrides", [])
        about |= {
            "overrides": [*own, *(item for item in overrides if item.lstrip("+").startswith(("data", "module")))],
            "run": cfg.run,
            "checkpoint": str(trained.checkpoint),
            "epochs": trained.epochs,
        }
        if "scores" in trained.record:
            rows.append((Path(f"{name}, as tested"), trained.record))
    with recorded(folder, cfg, about, METRICS_FILE) as record:
        module = make_module(cfg)
        if trained:
            module.load_state_dict(trained.weights)
        elif not cfg.model.get("weights") and any(parameter.requires_grad for parameter in module.parameters()):
            raise ValueError("a network's scores need its weights: give run=FOLDER or ckpt=FILE instead of model=")
        data: VideoData = instantiate(cfg.data, takes=module.model.takes)
        record.update(describe(data, module))
        trainer = make_trainer(cfg, record)
        record["scores"] = score(data, module, trainer)
    rows.append((Path("now"), record))
    text = "\n".join([markdown(score_rows(rows)), "", *notes(rows), ""])
    if trainer.is_global_zero:
        write_text(folder / "scores.md", text)
    return text


def as_trained(cfg: DictConfig, trained: TrainedModel, overrides: tuple[str, ...]) -> DictConfig:
    """Return ``cfg`` with the run's own network, loss, precision, data and scoring save what was overridden of these.

    Raises:
        ValueError: the network or the loss was overridden.
    """
    own = trained.config
    for override in OverridesParser.create().parse_overrides(list(overrides)):
        key = override.key_or_group
        part = key.split(".")[0]
        if part in ("model", "loss"):
            raise ValueError(f"{key}= is the run's own affair: leave it out, or leave out run= and ckpt=")
        if part in ("data", "module"):
            OmegaConf.update(own, key, OmegaConf.select(cfg, key), merge=False)
    cfg = cfg.copy()
    OmegaConf.set_struct(cfg, False)
    further = cfg.module.get("metrics") or {}
    for part in ("data", "model", "loss", "module"):
        cfg[part] = own.get(part, cfg[part])
    if further:
        cfg.module.metrics = OmegaConf.merge(cfg.module.get("metrics") or {}, further)
    cfg.trainer.precision = cfg.trainer.precision or own.trainer.precision
    return cfg
