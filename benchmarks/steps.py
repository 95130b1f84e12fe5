"""A training step through our Trainer, against the published procedure, a plain loop, and the floor."""

import copy
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import lightning.pytorch as pl
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import nn

from benchmarks.measure import DEVICE, Laps, side_by_side, small_pages
from benchmarks.plain import HookedLoss, OneWindowAtATime, torchvision_network
from benchmarks.rows import Row, faster, slower
from vsr_lightning import degradation
from vsr_lightning.data import VideoWindows
from vsr_lightning.data.moving_mnist.generated import generate
from vsr_lightning.experiment import make_module
from vsr_lightning.losses import Perceptual
from vsr_lightning.losses.vgg import VGG19Features
from vsr_lightning.module import SuperResolution
from vsr_lightning.utils.config import CONF

NETWORKS = ("frame_fusion_fig1", "frame_fusion")
LIGHT_STEPS, HEAVY_STEPS = (30, 30) if torch.cuda.is_available() else (10, 4)  # heavy: through all of VGG-19
WINDOWS = 10  # of the published procedure a round; its optimiser's step comes after 100
QUIET = ("last", "best", "frame_scores", "tensorboard_images")  # callbacks that act between epochs, not in a step


class Clock(pl.Callback):
    """Times the steps of a training."""

    def __init__(self) -> None:
        self.laps = Laps()

    def on_train_batch_end(self, *_: Any) -> None:
        self.laps.lap()

    def on_train_epoch_end(self, *_: Any) -> None:
        self.seconds = self.laps.seconds()


def composed(*overrides: str) -> DictConfig:
    """Return the config of a run in an empty folder."""
    with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        return compose("train", ["data.source=generated", "data.train_videos=800", "data.test_videos=1", *overrides])


def by_trainer(cfg: DictConfig, module: SuperResolution, data: VideoWindows, steps: int) -> float:
    """Train with what the config's trainer has in a step: logger, bar, checks; return seconds a step."""
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        cfg.output_dir = folder
        callbacks = [instantiate(value) for name, value in cfg.callbacks.items() if name not in QUIET]
        trainer = instantiate(
            cfg.trainer,
            callbacks=[*callbacks, clock],
            logger=list(instantiate(cfg.logger).values()),
            max_epochs=1,
            limit_train_batches=steps + 1,
            limit_val_batches=0,
            enable_checkpointing=False,
        )
        trainer.fit(module, datamodule=data)
    return clock.seconds


def by_plain_loop(module: SuperResolution, data: VideoWindows, steps: int) -> float:
    """Train as a few lines of PyTorch would, on the same batches with the same optimiser; return seconds a step."""
    network, loss = module.model.to(DEVICE), module.loss.to(DEVICE)
    optimizer = module.optimizer(network.parameters())

    def batches() -> Iterator[Any]:
        while True:
            for batch in data.train_dataloader():
                yield data.on_after_batch_transfer(data.transfer_batch_to_device(batch, DEVICE, 0), 0)

    laps = Laps()
    for low_res, target, *_ in islice(batches(), steps + 1):
        value = loss(network(low_res), target)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        laps.lap()
    return laps.seconds()


def floor(head: nn.Linear, vgg: nn.Sequential | None, batch: int) -> Callable[[], None]:
    """Return what no step can do without: VGG-19's three passes and the linear layer's three products."""
    head = copy.deepcopy(head).to(DEVICE)
    x, gradient = (torch.rand(batch, n, device=DEVICE) for n in (head.in_features, head.out_features))
    if vgg is not None:
        vgg.to(DEVICE).to(memory_format=torch.channels_last)
        images = torch.rand(batch, 3, 64, 64, device=DEVICE).contiguous(memory_format=torch.channels_last)
        prediction = images.clone().requires_grad_()

    def run() -> None:
        torch.autograd.grad(head(x.requires_grad_()), (x, head.weight), gradient)
        if vgg is not None:
            with torch.no_grad():
                vgg(images)
            seen = vgg(prediction)
            torch.autograd.grad(seen, prediction, torch.ones_like(seen))

    return run


def measure(
    network: str, loss: nn.Module, hooked: HookedLoss | nn.Module, vgg: nn.Sequential | None, steps: int, repeats: int
) -> dict[str, float]:
    """Return seconds a window: ``ours``, ``fast`` (trainer=fast), ``plain`` (a loop), ``floor`` and ``published``."""
    cfg, fast = composed(f"model={network}"), composed(f"model={network}", "trainer=fast")
    data: VideoWindows = instantiate(cfg.data)
    module = make_module(cfg)
    module.loss = loss
    head: Any = module.model.head
    videos = torch.from_numpy(data.videos.frames[data.train_videos.start : data.train_videos.stop])
    plain = OneWindowAtATime(instantiate(cfg.model), hooked, videos)
    seconds = side_by_side(
        {
            "ours": partial(by_trainer, cfg, module, data, steps),
            "fast": partial(by_trainer, fast, module, data, steps),
            "plain": partial(by_plain_loop, module, data, steps),
            "floor": floor(head, vgg, data.batch_size),
            "windows": small_pages(partial(plain.windows, WINDOWS)),
            "step": small_pages(plain.step),
        },
        repeats,
    )
    published = seconds.pop("windows") + seconds.pop("step") / 100
    return {name: value / data.batch_size for name, value in seconds.items()} | {"published": published}


def benchmark(imagenet_size: VGG19Features, repeats: int) -> Iterator[Row]:
    """Measure both networks under all losses.

    Args:
        imagenet_size: VGG-19's weights, or others of their size.
        repeats: timed rounds.
    """
    # without the last layer, a pool that no tap sees; two, so that hooks and memory order keep to their own
    bare, tapped = (torchvision_network(imagenet_size)[:-1] for _ in range(2))
    for network in NETWORKS:
        fig1 = network == "frame_fusion_fig1"
        seconds = measure(network, nn.MSELoss(), nn.MSELoss(), None, LIGHT_STEPS, repeats)
        yield from _rows(f"{network}, mse", seconds, 25 if fig1 else None, None, 1.15)
        for layers, number in (("published", 5), ("all", 16)):
            name = f"{network}, perceptual, imagenet-size, {number} layers"
            loss, hooked = (
                Perceptual(imagenet_size, layers),
                HookedLoss(tapped, VGG19Features.presets[layers]).to(DEVICE),
            )
            seconds = measure(network, loss, hooked, bare, HEAVY_STEPS, repeats)
            hooked.remove()
            least, least_fast = (5, 8) if fig1 and number == 5 else (None, None)
            yield from _rows(name, seconds, least, least_fast, 1.05)
            yield slower(f"{name}: a step over the floor", seconds["ours"], seconds["floor"], "floor", 1.15)
            if number == 5:
                published = seconds["published"]
                yield half_precision(f"{name}: the loss in bfloat16 is off by this many percent", loss)
        seconds = measure(network, Perceptual("bundled"), nn.MSELoss(), None, LIGHT_STEPS, repeats)
        seconds["published"] = published
        yield from _rows(f"{network}, perceptual, bundled", seconds, 25 if fig1 else None, None, 1.05)


def _rows(
    name: str, seconds: dict[str, float], target: float | None, fast_target: float | None, loop_target: float
) -> Iterator[Row]:
    rate = {key: 1 / value for key, value in seconds.items()}
    unit, published = "windows/s", "published procedure"
    if torch.cuda.is_available():
        target, fast_target = None, 300
    yield faster(f"{name}: a step", rate["ours"], rate["published"], unit, published, target)
    yield faster(f"{name}: a step, trainer=fast", rate["fast"], rate["published"], unit, published, fast_target)
    yield faster(f"{name}: trainer=fast over the default", rate["fast"], rate["ours"], unit, "trainer=default", 1)
    yield slower(f"{name}: our Trainer over a plain loop", seconds["ours"], seconds["plain"], "plain loop", loop_target)


def half_precision(what: str, loss: Perceptual) -> Row:
    """Compare the loss's value in bfloat16 with that in float32, on frames as training meets them."""
    target = torch.from_numpy(generate(range(20))[:, 10:11]).float() / 255
    prediction = degradation.gaussian_blur(target[:, None], torch.full((20,), 2.0), 3)[:, 0]
    with torch.no_grad():
        loss, prediction, target = loss.to(DEVICE), prediction.to(DEVICE), target.to(DEVICE)
        exact = loss(prediction, target).item()
        with torch.autocast(DEVICE.type, torch.bfloat16):
            half = loss(prediction, target).item()
    return Row(what, 100 * abs(half / exact - 1), f"{half:.5g}", f"{exact:.5g} in float32", 1, at_most=True)


def extras(repeats: int) -> Iterator[Row]:
    """Measure what an adversarial term and an average of the weights add to a step of a network that people use."""
    base = ("model=residual_fusion", "data.batch_size=8", "loss=l1")
    kinds = {"alone": (), "adversarial": ("module=adversarial",), "ema": ("callbacks=ema",)}
    cfgs = {name: composed(*base, *overrides) for name, overrides in kinds.items()}
    data: VideoWindows = instantiate(cfgs["alone"].data)
    calls = {name: partial(by_trainer, cfg, make_module(cfg), data, LIGHT_STEPS) for name, cfg in cfgs.items()}
    seconds = side_by_side(calls, repeats)
    for name, what in (("adversarial", "a discriminator (module=adversarial)"), ("ema", "averaged weights")):
        yield slower(f"residual_fusion, l1: a step with {what}", seconds[name], seconds["alone"], "without")
