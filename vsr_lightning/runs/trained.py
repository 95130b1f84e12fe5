"""A trained network, rebuilt from the config and the weights that its run left."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from vsr_lightning.models import Network
from vsr_lightning.runs.load_checkpoint import LAST, finished_epochs, load_checkpoint
from vsr_lightning.runs.read_record import METRICS_FILE, RUN_FILE, read_evaluation, read_record


@dataclass(frozen=True)
class TrainedModel:
    """What a run left."""

    record: dict[str, Any]  # the run's ``run.json``, or the part of it that a checkpoint carries
    checkpoint: Path | None  # file of the weights; None for a network without any
    weights: dict[str, Tensor]  # by name, as :class:`vsr_lightning.module.SuperResolution` names them
    epochs: int  # that the weights were trained for

    @property
    def config(self) -> DictConfig:
        """The config of the run, a copy."""
        return OmegaConf.create(self.record["config"])

    def network(self) -> Network:
        """Return the network with its weights, for use, not for training."""
        network: Network = instantiate(self.config.model)
        mine = {name.removeprefix("model."): it for name, it in self.weights.items() if name.startswith("model.")}
        network.load_state_dict(mine)
        return network.eval().requires_grad_(False)


def load_run(run: str | Path | None = None, ckpt: str | Path | None = None) -> TrainedModel:
    """Read a training run's folder, whose ``checkpoints/last.ckpt`` is taken, or one checkpoint.

    Raises:
        FileNotFoundError: there is no such run or file.
        ValueError: it is not one of this project's, is damaged, or both or none were given.
    """
    if (run is None) == (ckpt is None):
        raise ValueError("give run=FOLDER of a training run, or ckpt=FILE, one of them")
    if ckpt is not None:
        checkpoint = load_checkpoint(str(ckpt), "ckpt")
        if "config" not in (record := checkpoint["provenance"]):
            raise ValueError(f"ckpt={ckpt} does not say which network it is of: take one of this project's runs")
        return TrainedModel(record, Path(ckpt), checkpoint["state_dict"], finished_epochs(checkpoint))
    folder = Path(str(run))
    if (folder / RUN_FILE).is_file():
        record = read_record(folder)
    elif (folder / METRICS_FILE).is_file() and (found := read_evaluation(folder)).get("epochs") == 0:
        record = found  # what has no weights needs no run
    else:
        raise FileNotFoundError(f"run={run} holds no {RUN_FILE}: give the folder of one run, such as runs/SWEEP/0_...")
    if "model" not in record.get("config", {}):
        raise ValueError(f"run={run} is not a training run of a network")
    last = folder / "checkpoints" / LAST
    if record.get("epochs") == 0 and not last.exists():  # bicubic
        return TrainedModel(record, None, {}, 0)
    checkpoint = load_checkpoint(str(last), "ckpt")
    return TrainedModel(record, last, checkpoint["state_dict"], finished_epochs(checkpoint))
