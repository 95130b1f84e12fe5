"""Checkpoints that are whole or not there, and that pass through no second copy in memory."""

from os import PathLike, fsync
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from vsr_lightning.module import SuperResolution
from vsr_lightning.runs.comparable import SCORING, first_difference
from vsr_lightning.runs.load_checkpoint import LAST, PREVIOUS, finished_epochs, load_checkpoint
from vsr_lightning.utils.download import sha256
from vsr_lightning.utils.formatting import counted


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes beside the final name and renames; of ``last.ckpt``, the one before is kept.

    Lightning's own way is atomic too, but first puts the file together in memory, twice: 0.8 GB for the text network.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | PathLike[str], storage_options: Any = None
    ) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        try:
            with part.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                fsync(file.fileno())
            if path.name == LAST and path.exists():
                path.replace(path.with_name(PREVIOUS))
            part.replace(path)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch's writer hides a full disk behind its own complaint
                raise error.__context__ from None
            raise
        finally:
            part.unlink(missing_ok=True)


def check_checkpoint(path: str, module: SuperResolution, record: dict[str, Any], max_epochs: int | None = None) -> None:
    """Refuse a checkpoint that this run can't go on from, so that no row of a table is of another training.

    Raises:
        FileNotFoundError: there is no file.
        ValueError: it does not load or holds weights only, its weights have other names or shapes, it is of another
            training than the record's save in its length, or it has been trained for ``max_epochs`` already.
    """
    checkpoint = load_checkpoint(path)
    _check_fit(f"ckpt_path={path}", checkpoint, module)
    origin = checkpoint["provenance"]
    if difference := first_difference(origin, record, rf"{SCORING}|init_from.*|trainer\.max_.+"):
        key, theirs, mine = difference
        found = f"ckpt_path={path} was trained with {key}={theirs}, this run has {mine}"
        raise ValueError(f"{found}: choose the same, or start anew without ckpt_path")
    done = finished_epochs(checkpoint)
    if max_epochs is not None and done >= max_epochs > 0:
        found = f"ckpt_path={path} was trained for {counted(done, 'epoch')}"
        raise ValueError(
            f"{found}, so trainer.max_epochs={max_epochs} leaves none: set it to the number that there should be in all"
        )


def load_weights(path: str, module: SuperResolution) -> dict[str, Any]:
    """Start from another run's weights, whatever it was trained under; return where they come from.

    Errors are those of :func:`load_checkpoint`, and ValueError for weights of other names or shapes.
    """
    checkpoint = load_checkpoint(path, "init_from")
    # the network alone: a discriminator and the like start anew
    weights = {name: value for name, value in checkpoint["state_dict"].items() if name.startswith("model.")}
    _check_fit(f"init_from={path}", {**checkpoint, "state_dict": weights}, module, "model.")
    module.load_state_dict(weights, strict=False)
    origin = {key: checkpoint["provenance"].get(key) for key in ("loss", "features")}
    return {"path": path, "checksum": sha256(Path(path)), "epochs": finished_epochs(checkpoint), **origin}


def _check_fit(what: str, checkpoint: dict[str, Any], module: SuperResolution, prefix: str = "") -> None:
    mine, theirs = (
        {name: value.shape for name, value in state.items() if name.startswith(prefix)}
        for state in (module.state_dict(), checkpoint["state_dict"])
    )
    if differing := [name for name in {**mine, **theirs} if mine.get(name) != theirs.get(name)]:
        made_by = checkpoint["provenance"].get("model", "another network")
        found = f"{what} was made by {made_by} and does not fit this network ({differing[0]} differs)"
        raise ValueError(f"{found}: choose the model= that it was made with")
