"""Checkpoints, read: without Lightning, whose import takes seconds."""

from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from vsr_lightning.runs.migrate import upgrade_record, upgrade_weights

LAST, PREVIOUS = "last.ckpt", "before_last.ckpt"  # what a run goes on from, and in case that is damaged


def load_checkpoint(path: str, key: str = "ckpt_path") -> dict[str, Any]:
    """Read a checkpoint, its tensors left in the file; ``ckpt_path`` is for one that training can go on from.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it does not load, or holds weights only where there should be more.
    """
    if not Path(path).is_file():
        files = "last.ckpt" if key == "ckpt_path" else "last.ckpt or best.ckpt"
        found = f"{key}={path} is {'a folder' if Path(path).is_dir() else 'missing'}"
        raise FileNotFoundError(f"{found}: give {files} of a run of yours, from its folder checkpoints")
    try:
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        checkpoint["state_dict"], checkpoint["epoch"] = upgrade_weights(checkpoint), checkpoint["epoch"]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, UnpicklingError) as error:
        raise ValueError(f"{key}={path} is not a checkpoint of this project, or it is damaged") from error
    if key == "ckpt_path" and "optimizer_states" not in checkpoint:
        raise ValueError(f"ckpt_path={path} holds weights only, nothing to go on from: take last.ckpt beside it")
    checkpoint["provenance"] = upgrade_record(checkpoint.get("provenance", {}))
    return checkpoint


def finished_epochs(checkpoint: dict[str, Any]) -> int:
    """Return how many epochs a checkpoint was trained for to their end; its ``epoch`` is that in which it was saved."""
    if not (loops := checkpoint.get("loops")):
        return int(checkpoint["epoch"]) + 1
    epochs, batches = (loops["fit_loop"][key] for key in ("epoch_progress", "epoch_loop.batch_progress"))
    # after the last batch, validation and its callbacks come before the epoch is counted
    counted_soon = batches["is_last_batch"] and epochs["current"]["started"] > epochs["current"]["processed"]
    return int(epochs["current"]["processed"]) + int(counted_soon)
