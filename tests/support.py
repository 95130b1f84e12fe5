import gc
import multiprocessing
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before PyTorch is imported: several workers share the cores
import torch
from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from omegaconf import DictConfig

from vsr_lightning.data.moving_mnist import published
from vsr_lightning.launch import processes
from vsr_lightning.launch.cli import run_cli
from vsr_lightning.losses.features import Features
from vsr_lightning.losses.vgg import LAYERS, VGG19Features
from vsr_lightning.module import SuperResolution
from vsr_lightning.train import main
from vsr_lightning.utils import download
from vsr_lightning.utils.config import CONF

# where it can fork (not on Windows), a process has imported PyTorch when it starts
PROCESSES = multiprocessing.get_context(processes.START_METHOD)
PROCESSES.set_forkserver_preload([processes.__name__])

# Hydra composes the whole config once more, 0.2 s in each of hundreds of commands, only to see whether it sets
# hydra.mode, which ours does not
Hydra.get_mode = lambda self, config_name, overrides: None

# the smallest job that trains, validates and tests
TINY = (
    "data.source=generated",
    "data.train_videos=6",
    "data.test_videos=2",
    "data.frame_range=[0,8]",
    "data.batch_size=3",
    "model=frame_fusion_fig1",
    "model.widths=[2,1]",
    "features=random",
    "trainer.accelerator=cpu",
    "trainer.max_epochs=2",
)


def pytest_collection_finish() -> None:
    """Spare the garbage collection, which each job asks for, the thousands of objects that imports leave."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Undo it, since libraries report what is left at the end."""
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test touches the network or the user's caches."""
    monkeypatch.setattr(download, "reachable", lambda url, seconds=0: False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    torch.manual_seed(0)


@pytest.fixture
def small_features() -> Features:
    """VGG-19's layers at a few channels each: as deep, and quick."""
    torch.manual_seed(0)
    layers, before = {}, 3
    for name, layer in LAYERS.items():
        width = layer.width // 16
        layers[name] = (torch.randn(width, before, 3, 3) * (2 / 9 / before) ** 0.5, torch.zeros(width))
        before = width
    return VGG19Features(layers, "small")


def train_in(folder: Path, *args: str, command: str = "train") -> None:
    """Run ``python -m vsr_lightning.train``, or another command, in this process, from this folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HYDRA_FULL_ERROR", "0")
        patch.setattr(sys, "argv", [command, *args])
        run_cli(import_module(f"vsr_lightning.{command}").main, command)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run through the command line, shared by the tests that look at what it left."""
    root = tmp_path_factory.mktemp("finished")
    train_in(root, *TINY, "loss=perceptual", "loss.layers=[relu1_1]", "seed=0", "hydra.run.dir=run")
    return root / "run"


@pytest.fixture
def vsr(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Path]:
    """Run ``python -m vsr_lightning.train`` in this process, from an empty folder; return that folder."""

    def call(*args: str, tiny: bool = True) -> Path:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
        flags = [arg for arg in args if arg.startswith("-")]  # argparse wants -m before the overrides
        rest = [arg for arg in args if arg not in flags]
        monkeypatch.setattr(sys, "argv", ["train", *flags, *(TINY if tiny else ()), *rest])
        run_cli(main)
        return tmp_path

    return call


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sweeps end without a report, where a test is not about it."""
    monkeypatch.setattr("vsr_lightning.reporting.report.write_report", lambda folders, folder: folder)


def compose_train(*overrides: str) -> DictConfig:
    """Return the config that ``python -m vsr_lightning.train`` makes of the overrides."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", list(overrides))


@pytest.fixture(scope="session")
def published_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a file in the published layout: sparse, with pictures in the first of each split's videos."""
    root = tmp_path_factory.mktemp("published")
    path = published.path_under(root)
    path.parent.mkdir()
    videos = np.lib.format.open_memmap(path, "w+", np.uint8, published.SHAPE)
    rng = np.random.default_rng(0)
    for video in (*range(6), *range(8000, 8002)):
        videos[:, video] = rng.integers(0, 256, (20, 64, 64))
    videos.flush()
    return root


def assert_it_learns(
    module: SuperResolution, low_res: torch.Tensor, target: torch.Tensor, steps: int = 5, lr: float = 1e-3
) -> None:
    """Train a few steps; the loss falls and gradients reach every parameter."""
    optimizer = torch.optim.Adam(module.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = module.objective(module(low_res), target)["loss"]
        loss.backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in module.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
