"""The fast path has the losses of the plain one, over twenty steps, two epochs."""

import copy
from functools import partial

import lightning.pytorch as pl
import pytest
import torch
from torch import nn

from benchmarks.plain import HookedLoss, degrade_frame, plainly, torchvision_network
from vsr_lightning.data import MovingMNIST
from vsr_lightning.degradation import Degradation
from vsr_lightning.losses import Perceptual
from vsr_lightning.models import FrameFusion
from vsr_lightning.module import SuperResolution

STEPS = 20
ADAM = partial(torch.optim.Adam, lr=1e-4)


class Losses(pl.Callback):
    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, module, outputs, *_):
        self.seen.append(outputs["loss"].item())


@pytest.fixture
def data():
    return MovingMNIST(Degradation(), "generated", train_videos=20, test_videos=1, batch_size=2, cache_low_res=True)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return FrameFusion((4, 8), (True, False)).to(memory_format=torch.channels_last)


def _by_trainer(network, loss, data, optimizer):
    losses = Losses()
    trainer = pl.Trainer(
        max_steps=STEPS, limit_val_batches=0, callbacks=losses, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, accelerator="cpu",
    )  # fmt: skip
    trainer.fit(SuperResolution(network, loss, optimizer), data)
    return torch.tensor(losses.seen)


def _by_plain_loop(network, loss, data, optimizer):
    optimizer, seen = optimizer(network.parameters()), []
    while len(seen) < STEPS:
        loader = data.train_dataloader()
        loader.sampler.set_epoch(len(seen) // len(loader))
        for batch in loader:
            low_res, target, *_ = data.on_after_batch_transfer(batch, 0)
            value = loss(network(low_res), target)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            seen.append(value.item())
    return torch.tensor(seen)


def _window_by_window(network, loss, data, optimizer):
    optimizer, videos, seen = optimizer(network.parameters()), torch.from_numpy(data.videos.frames), []
    while len(seen) < STEPS:
        sampler = data.train_dataloader().sampler
        sampler.set_epoch(len(seen) // len(sampler))
        for windows in sampler:
            optimizer.zero_grad()
            total = 0.0
            for video, start, blur, _ in zip(*windows, strict=True):
                frames = videos[video, start : start + 5, None].float() / 255
                low_res = torch.stack([degrade_frame(frame, 0.1 + 1.9 * float(blur)) for frame in frames])
                value = loss(network(low_res[None]), frames[None, 2]) / len(windows.video)
                value.backward()
                total += value.item()
            optimizer.step()
            seen.append(total)
    return torch.tensor(seen)


def test_mse_as_one_window_after_the_other_with_pytorchs_own_layers(network, data):
    adam = partial(torch.optim.Adam, lr=3e-4)
    expected = _window_by_window(plainly(network), nn.MSELoss(), data, adam)
    losses = _by_trainer(network, nn.MSELoss(), data, adam)
    assert losses[-5:].sum() < 0.95 * losses[:5].sum()
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=0)


def test_perceptual_as_one_window_after_the_other_with_hooks_on_torchvisions_vgg(network, data):
    # small steps of SGD: Adam, or large steps, turn the rounding of another order of sums into percents in ten steps
    # (Adam divides by the gradient, so that weights without one step by its rounding)
    loss, optimizer = Perceptual("bundled"), partial(torch.optim.SGD, lr=1e-4)
    hooked = HookedLoss(torchvision_network(loss.features), tuple(loss.weights))
    before = network.encoder[3].weight.clone()
    expected = _window_by_window(plainly(network), hooked, data, optimizer)
    losses = _by_trainer(network, loss, data, optimizer)
    assert (network.encoder[3].weight - before).norm() > 1e-4 * before.norm()
    torch.testing.assert_close(losses, expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    "loss", [nn.MSELoss(), pytest.param(Perceptual("bundled", "published"), marks=pytest.mark.slow)]
)
def test_the_trainer_adds_nothing_to_a_plain_loop_with_adam(loss, network, data):
    expected = _by_plain_loop(copy.deepcopy(network), loss, data, ADAM)
    torch.testing.assert_close(_by_trainer(network, loss, data, ADAM), expected, rtol=1e-5, atol=0)
