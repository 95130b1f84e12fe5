"""The checkpoint that a run resumes from, so that an interrupted run ends exactly as an uninterrupted one."""

import csv
import io
import logging
import signal
import threading
import time
import zipfile
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from vsr_lightning.runs.load_checkpoint import LAST, PREVIOUS, load_checkpoint
from vsr_lightning.utils.errors import Interrupted

log = logging.getLogger(__name__)
EVENTS = "tensorboard/**/events.out.tfevents.*"


class LastCheckpoint(Checkpoint):
    """Save weights, optimizer, schedule and position: after each epoch, every ``every_n_steps``, and at a signal.

    SIGINT (Ctrl-C) and SIGTERM let the step finish, save, and raise :class:`Interrupted`; a second signal raises it at
    once. The checkpoint also holds the sizes of the TensorBoard files, so that a resumed run can cut off later points,
    and the text of the CSV table, since ``CSVLogger`` deletes a file that it finds before anybody could cut it.

    Args:
        dirpath: folder of ``last.ckpt``; the checkpoint before it is kept until the run has finished.
        every_n_steps: steps between checkpoints within an epoch, at least 1 (or ValueError); None saves none there.
    """

    def __init__(self, dirpath: str, every_n_steps: int | None = None) -> None:
        if every_n_steps is not None and (not isinstance(every_n_steps, int) or every_n_steps < 1):
            raise ValueError(f"checkpoint_every_n_steps={every_n_steps}: choose a whole number, at least 1, or null")
        self.path, self.every_n_steps = Path(dirpath) / LAST, every_n_steps
        self.begin = time.monotonic()  # earlier by the time that a training took before it was stopped
        self.signum: int | None = None
        self.table = ""

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for logger in trainer.loggers:
            if isinstance(logger, CSVLogger):
                for row in csv.DictReader(io.StringIO(self.table)):
                    values: dict[str, Tensor | float] = {name: float(value) for name, value in row.items() if value}
                    logger.log_metrics(values, step=int(values.pop("step")))

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Let ``best`` know its record in a run's folder that was moved: it forgets those of another folder."""
        here = self.path.parent.resolve()
        if trainer.ckpt_path and Path(trainer.ckpt_path).resolve().parent == here:
            for name, state in checkpoint["callbacks"].items():
                if "dirpath" in state:
                    checkpoint["callbacks"][name] = _moved(state, state["dirpath"], str(here))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _handle_signals(self._on_signal)  # Lightning puts the handlers back that were there before

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: object, batch_idx: int
    ) -> None:
        if trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches:
            return  # the epoch's end comes right after, or gradients are still being accumulated
        stop = self._signal(trainer)
        if stop or (self.every_n_steps and trainer.global_step % self.every_n_steps == 0):
            self._save(trainer)
        if stop:
            raise Interrupted(stop)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if stop := self._signal(trainer):
            raise Interrupted(stop)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.on_train_epoch_start(trainer, pl_module)
        _handle_signals(_stop_now)  # the training is over and saved

    def state_dict(self) -> dict[str, Any]:
        run = self.path.parent.parent
        return {
            "events": {str(path.relative_to(run)): path.stat().st_size for path in run.glob(EVENTS)},
            "table": self.table,
            "seconds": time.monotonic() - self.begin,
            "generator": torch.get_rng_state(),  # for networks with dropout and such
            "generators": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.table = state_dict["table"]
        self.begin -= state_dict.get("seconds", 0)
        torch.set_rng_state(state_dict["generator"])
        if len(state_dict["generators"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state_dict["generators"])

    def _save(self, trainer: Trainer) -> None:
        for logger in trainer.loggers:
            logger.save()
            if isinstance(logger, CSVLogger) and trainer.is_global_zero:  # elsewhere, it has no file
                path = Path(logger.experiment.metrics_file_path)
                self.table = path.read_text(encoding="utf-8") if path.is_file() else ""
        trainer.save_checkpoint(self.path)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self.signum:
            _stop_now(signum, frame)
        self.signum = signum
        log.warning("stopping after this step and saving a checkpoint to resume from (signal again to stop at once)")

    def _signal(self, trainer: Trainer) -> int | None:
        if trainer.world_size == 1:
            return self.signum
        # all processes must stop after the same step, or some would wait for the others for ever
        signum: Tensor = torch.tensor(self.signum or 0, device=trainer.strategy.root_device)
        torch.distributed.all_reduce(signum, torch.distributed.ReduceOp.MAX)
        return int(signum) or None


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint that a run left to go on from; None if there is none yet."""
    last = folder / "checkpoints" / LAST
    for path in (last, last.with_name(PREVIOUS)):
        if path.is_file():
            try:
                load_checkpoint(str(path), "resume")
                with zipfile.ZipFile(path) as archive:
                    if damaged := archive.testzip():
                        raise ValueError(f"resume={path} is damaged at {damaged}")
            except (ValueError, zipfile.BadZipFile) as error:
                log.warning("%s: going on from the one before it", error)
            else:
                return path
    return None


def seconds_before(checkpoint: str, unsaved: float = 0) -> float:
    """Return how long the training up to a checkpoint took, in seconds; ``unsaved`` if it does not say."""
    return float(_state(checkpoint).get("seconds", unsaved))


def rewind(folder: Path, checkpoint: Path | None) -> None:
    """Cut a run's TensorBoard files to their sizes at the checkpoint, so that no point is written twice."""
    sizes = _state(str(checkpoint)).get("events", {}) if checkpoint else {}
    for path in folder.glob(EVENTS):
        size = sizes.get(str(path.relative_to(folder)))
        if size is None:
            path.unlink()
        else:
            with path.open("r+b") as file:
                file.truncate(size)


def _state(checkpoint: str) -> dict[str, Any]:
    state: dict[str, Any] = load_checkpoint(checkpoint, "resume")["callbacks"].get(LastCheckpoint.__qualname__, {})
    return state


def _moved(value: Any, old: str, new: str) -> Any:
    if isinstance(value, dict):
        return {_moved(key, old, new): _moved(part, old, new) for key, part in value.items()}
    return new + value.removeprefix(old) if isinstance(value, str) and value.startswith(old) else value


def _handle_signals(handler: Any) -> None:
    if threading.current_thread() is threading.main_thread():  # elsewhere, Python refuses
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, handler)


def _stop_now(signum: int, frame: FrameType | None) -> None:
    raise Interrupted(signum)
