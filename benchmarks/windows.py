"""Windows served, chosen and degraded: our data module against a DataLoader over torchvision's MovingMNIST."""

import tempfile
from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from hydra.utils import instantiate
from torch.utils.data import DataLoader

from benchmarks.measure import DEVICE, side_by_side, small_pages
from benchmarks.plain import OneWindowASample
from benchmarks.rows import Row, faster
from benchmarks.steps import composed
from vsr_lightning.data import MovingMNIST
from vsr_lightning.data.moving_mnist.generated import generate
from vsr_lightning.data.moving_mnist.published import SHAPE, path_under

BATCH = 20


def benchmark(repeats: int) -> Iterator[Row]:
    """Serve an epoch of 8,000 windows in batches of 20 from each source, as the network gets them."""
    with tempfile.TemporaryDirectory() as root:
        write_published_layout(root)
        loader = DataLoader(OneWindowASample(root), BATCH, shuffle=True, num_workers=2)
        sources = {
            name: instantiate(composed("data.train_videos=8000", *overrides).data)
            for name, overrides in {
                "generated": ("data.source=generated",),
                "generated, shrunk each time": ("data.source=generated", "data.cache_low_res=false"),
                "published, memory-mapped": ("data.source=published", f"data.root={root}", "data.download=false"),
            }.items()
        }
        seconds = side_by_side(
            {name: partial(serve, data) for name, data in sources.items()}
            | {"loader": small_pages(partial(exhaust, loader))},
            repeats,
        )
    rate = {name: 8000 / value for name, value in seconds.items()}
    for name in sources:
        what = f"data, {name}: windows chosen, shrunk and blurred"
        target = None if "each time" in name else 20
        yield faster(what, rate[name], rate["loader"], "windows/s", "DataLoader, 2 workers", target)


def write_published_layout(root: str) -> None:
    """Write 500 generated videos, over and over, as a file of the published shape."""
    path = path_under(root)
    path.parent.mkdir(parents=True)
    np.save(path, np.tile(generate(range(500)).swapaxes(0, 1), (1, SHAPE[1] // 500, 1, 1)))


def serve(data: MovingMNIST) -> None:
    """Degrade each batch on the device, as the trainer does."""
    for batch in data.train_dataloader():
        data.on_after_batch_transfer(data.transfer_batch_to_device(batch, DEVICE, 0), 0)


def exhaust(loader: DataLoader[tuple[torch.Tensor, torch.Tensor]]) -> None:
    """Go through an epoch."""
    for _ in loader:
        pass
