"""Checkpoints that are whole or not there, and that pass through no second copy in memory."""

import os
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the final name and renames.

    Lightning's own way is atomic too, but first puts the file together in memory, twice: 0.8 GB for the text network.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        try:
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def check_checkpoint(path: str, module: pl.LightningModule) -> None:
    """Raise an error of one line if the checkpoint is missing, damaged, or of another network.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it does not load, holds no weights, or its weights have other names or shapes.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"ckpt_path={path} is missing: give a file such as RUN/checkpoints/last.ckpt")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        theirs = checkpoint["state_dict"]
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, EOFError, UnpicklingError) as error:
        raise ValueError(f"ckpt_path={path} is not a checkpoint of this project, or it is damaged") from error
    mine = module.state_dict()
    differing = [name for name in {**mine, **theirs} if _shape(mine, name) != _shape(theirs, name)]
    if differing:
        made_by = checkpoint.get("provenance", {}).get("model", "another network")
        raise ValueError(
            f"ckpt_path={path} was made by {made_by} and does not fit this network ({differing[0]} differs): "
            "choose the model= that it was made with"
        )


def _shape(state: dict[str, torch.Tensor], name: str) -> tuple[int, ...] | None:
    return tuple(state[name].shape) if name in state else None
