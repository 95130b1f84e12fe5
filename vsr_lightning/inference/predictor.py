"""A trained network, or bicubic upsampling, as the command ``predict`` uses it on a video."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor

from vsr_lightning.inference.super_resolve import Finish, super_resolve
from vsr_lightning.models import Network
from vsr_lightning.runs.trained import load_run
from vsr_lightning.utils.config import overridden
from vsr_lightning.utils.formatting import counted
from vsr_lightning.utils.precision import DTYPES, FULL, fast_precision


@dataclass(frozen=True)
class Predictor:
    """A network and how it is used.

    Attributes:
        network: in use, not in training, on its device.
        frames: of a window.
        data: config of the data that it was trained on, with the degradation that it undoes.
        name: what it is called when the video is done.
        precision: by Lightning's name, or ``auto``.
        cut: how a video is cut in time and space, arguments of :func:`super_resolve`.
    """

    network: Network
    frames: int
    data: DictConfig
    name: str
    precision: str
    cut: dict[str, Any]

    @property
    def first(self) -> int:
        """The number of the first frame that is predicted, so that PNG frames are named as those of the input."""
        cropped = self.network.takes == "window" and self.cut["temporal_padding"] == "crop"
        return self.frames // 2 if cropped else 0

    @property
    def device(self) -> torch.device:
        """Where the network computes; one without weights does so where the frames are."""
        return next((it.device for it in self.network.parameters()), torch.device("cpu"))

    def precision_of(self, deep: bool) -> str:
        """Return the precision to compute in; ``auto`` is the fast one, but not for more than 8 bits.

        A number of bfloat16 has 8 bits itself.
        """
        if self.precision != "auto":
            return self.precision
        return FULL if deep else fast_precision(self.device.type)

    def predict(
        self,
        frames: Iterable[Tensor],
        size: tuple[int, ...],
        length: int,
        finish: Finish,
        precision: str,
        degraded: bool = False,
    ) -> Iterator[Tensor]:
        """Super-resolve frames of ``size``, (height, width); ValueError where they do not fit the network.

        Args:
            frames: see :func:`super_resolve`.
            size: of a frame.
            length: how many there are.
            finish: see :func:`super_resolve`.
            precision: by Lightning's name.
            degraded: whether they were sharp, and made low-res before.
        """
        height, width = self.network.size or size
        if size != (height, width):
            what = "once degraded, the video has" if degraded else "the video has"
            hint = "a sharp video needs degrade=true" if not degraded and size > (height, width) else "resize it first"
            raise ValueError(f"{what} frames of {size[1]}x{size[0]}, the network takes {width}x{height}: {hint}")
        how: dict[str, Any] = {**self.cut, "dtype": DTYPES[precision], "length": length, "finish": finish}
        return super_resolve(self.network, frames, self.frames, **how)


def predictor(cfg: DictConfig, overrides: tuple[str, ...] = ()) -> Predictor:
    """Return what ``conf/predict.yaml`` as composed asks for.

    Args:
        cfg: the whole config.
        overrides: those of the command line: what a run decides is refused.

    Raises:
        OSError: a file is missing.
        ValueError: a value is out of range, or contradicts the run.
    """
    if cfg.precision not in ("auto", *DTYPES):
        raise ValueError(f"precision={cfg.precision} is unknown: choose auto, {', '.join(DTYPES)}")
    network, frames, data, name = _named(cfg) if cfg.run is None and cfg.ckpt is None else _trained(cfg, overrides)
    device = "cuda" if cfg.device == "auto" and torch.cuda.is_available() else cfg.device.replace("auto", "cpu")
    cut = {key: cfg[key] for key in ("temporal_padding", "clip_frames", "clip_overlap", "tile", "tile_overlap")}
    for parameter in network.to(device).parameters():
        if parameter.ndim == 4:  # of convolutions, which are faster so
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return Predictor(network, frames, data, name, cfg.precision, cut)


def _named(cfg: DictConfig) -> tuple[Network, int, DictConfig, str]:
    network: Network = instantiate(cfg.model).eval()
    if not (published := cfg.model.get("weights")) and any(True for _ in network.parameters()):
        raise ValueError("a network needs its weights: give run=FOLDER or ckpt=FILE instead of model=")
    return network, cfg.data.frames, cfg.data, published or "bicubic"


def _trained(cfg: DictConfig, overrides: tuple[str, ...]) -> tuple[Network, int, DictConfig, str]:
    if theirs := [it for it in overrides if overridden(it).split(".")[0] in ("data", "model")]:
        raise ValueError(f"{theirs[0]} is what the run was trained with: leave it out, or leave out run= and ckpt=")
    trained = load_run(cfg.run, cfg.ckpt)
    name = f"{trained.record['model']} under {trained.record['loss']}, {counted(trained.epochs, 'epoch')}"
    data = trained.config.data
    used = trained.record.get("data") or data  # a run that failed early has not recorded what it used
    return trained.network(), used["frames"], data, name
