from pathlib import Path

import numpy as np
import pytest
import torch

from vsr_lightning import download
from vsr_lightning.data import published


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test touches the network or the user's caches."""
    monkeypatch.setattr(download, "reachable", lambda url, seconds=0: False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    torch.manual_seed(0)


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
