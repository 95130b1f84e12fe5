"""Train a network that reads digits, and write its weights as the loss reads them, with a model card."""

import hashlib
import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from safetensors.torch import save

from vsr_lightning.callbacks.last_checkpoint import seconds_before
from vsr_lightning.experiment import make_trainer, score
from vsr_lightning.feature_network.digit_frames import DigitFrames
from vsr_lightning.feature_network.recognition import DigitNetwork, Recognition
from vsr_lightning.runs.comparable import SCORING, first_difference
from vsr_lightning.runs.load_checkpoint import PREVIOUS, finished_epochs, load_checkpoint
from vsr_lightning.runs.record import device_name, in_checkpoint, recorded, write_record
from vsr_lightning.utils.download import sha256
from vsr_lightning.utils.files import write_bytes, write_text
from vsr_lightning.utils.formatting import counted


def pretrain(cfg: DictConfig, folder: Path, overrides: tuple[str, ...] = ()) -> Path:
    """Train what the config describes; leave weights, card and ``run.json`` in ``folder``; return the card's path."""
    about = {
        "network": cfg.network._target_.rpartition(".")[-1].lower(),
        "seed": cfg.seed,
        "overrides": list(overrides),
    }
    with recorded(folder, cfg, about) as record:
        pl.seed_everything(cfg.seed, workers=True, verbose=False)
        network: DigitNetwork = instantiate(cfg.network)
        module = Recognition(network, instantiate(cfg.optimizer), instantiate(cfg.scheduler))
        data: DigitFrames = instantiate(cfg.data)
        trainer = make_trainer(cfg)
        record.update(device=device_name(trainer), precision=str(trainer.precision))
        module.provenance = in_checkpoint(record)
        write_record(folder, record)
        if cfg.ckpt_path:
            check_recipe(cfg.ckpt_path, record["config"])
            record["earlier_s"] = seconds_before(cfg.ckpt_path)
        trainer.fit(module, datamodule=data, ckpt_path=cfg.ckpt_path, weights_only=True)
        record.update(epochs=trainer.current_epoch, steps=trainer.global_step)
        if trainer.is_global_zero:  # before the test, so that nothing is lost if that fails
            record["weights"] = export(network, folder / f"{network.name}.safetensors")
        record["scores"] = score(data, module, trainer)
        if trainer.is_global_zero:
            write_text(folder / f"{network.name}.md", model_card(network, record))
            (folder / "checkpoints" / PREVIOUS).unlink(missing_ok=True)
    return folder / f"{network.name}.md"


def check_recipe(path: str, config: dict[str, Any]) -> None:
    """Refuse a checkpoint of another recipe or of a finished one (ValueError): its cycle of rates was laid out so."""
    checkpoint = load_checkpoint(path)
    origin = checkpoint.get("provenance", {})
    if "width" not in origin.get("config", {}):
        raise ValueError(f"ckpt_path={path} was not made by vsr_lightning.pretrain")
    if difference := first_difference(origin, {"config": config}, SCORING):
        key, theirs, _ = difference
        raise ValueError(f"ckpt_path={path} was made with {key}={theirs}: choose the same, or start anew without it")
    if finished_epochs(checkpoint) >= (epochs := config["trainer"]["max_epochs"]):
        cycle = f"has finished its {counted(epochs, 'epoch')}, and a cycle of rates can't be made longer"
        raise ValueError(f"ckpt_path={path} {cycle}: start anew without it")


def export(network: DigitNetwork, path: Path) -> dict[str, Any]:
    """Write the weights in half precision; return the checksums of file and values, and the size."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in network.exported().items()}
    if not all(torch.isfinite(value).all() for value in state.values()):
        raise ValueError("a weight is beyond half precision: train with a lower optimizer.lr")
    write_bytes(path, save(state))
    values = hashlib.sha256(b"".join(value.float().numpy().tobytes() for value in state.values()))
    parameters = sum(value.numel() for value in state.values())
    return {"sha256": sha256(path), "checksum": values.hexdigest(), "parameters": parameters}


def model_card(network: DigitNetwork, record: dict[str, Any]) -> str:
    """Return the card of a finished run as markdown."""
    config, scores, weights = record["config"], record["scores"], record["weights"]
    data, optimizer = config["data"], config["optimizer"]
    git = record["git"] or {"commit": "unknown", "dirty": False}
    accuracy = {name: f"{100 * scores.get(name, math.nan):.2f} %" for name in ("accuracy", "sharp", "distorted")}
    found = (f"{digit}: {100 * scores.get(f'digit_{digit}', math.nan):.1f} %" for digit in range(10))
    level = ""
    if "level_error" in scores:
        error = f"predicted with a mean absolute error of {scores['level_error']:.3f}"
        level = f"| distortion levels | each in [0, 1], {error} |\n"
    return f"""# {network.name}.safetensors

{network.structure}: {weights["parameters"]:,} parameters in half precision. Trained to {network.purpose}; not for \
natural images.

| | |
|---|---|
| SHA-256 of the file | `{weights["sha256"]}` |
| SHA-256 of the values | `{weights["checksum"]}`, as tables and `run.json` have it |
| made by | `{" ".join(["python -m vsr_lightning.pretrain", *record["overrides"]])}` |
| data | frames of two of scikit-learn's 1,797 handwritten digits (Alpaydin and Kaynak 1998, UCI, CC BY 4.0), \
enlarged, bent, bolder or thinner; in three frames of four, each of blur, haze, noise and resampling \
joins with probability 1/2 |
| held out | the last 360 digits, those of the generated test videos; tested as they are, every other frame \
distorted as in training |
| recipe | {record["steps"]:,} steps of {data["batch_size"]} frames, {data["train_frames"]:,} per epoch, \
{optimizer["_target_"].rsplit(".")[-1]}, one cycle of rates up to {optimizer["lr"]}, seed {record["seed"]} |
| trained on | {record["device"]}, {record["precision"]}, torch {record["versions"]["torch"]}, \
commit {git["commit"][:12]}{" with changes" if git["dirty"] else ""} |
| accuracy per digit | {accuracy["accuracy"]} on {data["test_frames"]:,} frames of held-out digits, \
overlapping ones too ({accuracy["sharp"]} on sharp frames, {accuracy["distorted"]} on distorted ones) |
| found of each digit | {", ".join(found)} |
{level}"""
