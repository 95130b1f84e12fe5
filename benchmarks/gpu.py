"""What only a GPU can show: the paper's whole sweep from the shell prompt, and how busy a step keeps the device."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from safetensors.torch import save_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from benchmarks.measure import DEVICE, side_by_side
from benchmarks.plain import torchvision_network
from benchmarks.rows import Row
from benchmarks.steps import by_trainer, composed, floor
from vsr_lightning.experiment import make_module
from vsr_lightning.losses import Perceptual
from vsr_lightning.losses.vgg import LAYERS, VGG19Features

PAPER = ("experiment=paper", "data.source=generated", "trainer=fast")
BATCHES = (20, 320)  # the paper's, and one that fills a large GPU
STEPS = 20
WEIGHTS = "vgg19.safetensors"
WIDE = 256  # images in the convolutions that the device's rate is measured with


def benchmark(imagenet_size: VGG19Features, repeats: int) -> Iterator[Row]:
    """Measure on the GPU; without one there is no row."""
    if not torch.cuda.is_available():
        print("no GPU here: the part of the benchmark that needs one has not run", file=sys.stderr)
        return
    yield whole_sweep(imagenet_size, PAPER, 60)
    rate = convolution_rate(WIDE, repeats)
    for batch in BATCHES:
        yield utilisation(imagenet_size, batch, STEPS, rate, repeats, 0.5)


def whole_sweep(features: VGG19Features, overrides: tuple[str, ...], most: float) -> Row:
    """Time a sweep over both losses, all sixteen layers, from the shell prompt to its table and report."""
    with tempfile.TemporaryDirectory() as folder:
        network = torchvision_network(features).cpu()
        save_file({f"features.{key}": value for key, value in network.state_dict().items()}, Path(folder, WEIGHTS))
        train = (sys.executable, "-m", "vsr_lightning.train", "-m", "loss=mse,perceptual", *overrides)
        begin = time.perf_counter()
        subprocess.run([*train, f"features={WEIGHTS}"], cwd=folder, check=True, capture_output=True)
        seconds = time.perf_counter() - begin
    what = f"whole sweep from the prompt to the table ({' '.join(overrides)}): seconds"
    return Row(what, seconds, f"{seconds:.3g} s", "", most, at_most=True)


def convolution_rate(images: int, repeats: int) -> float:
    """Return the operations a second of the fastest of VGG-19's convolutions in bfloat16, forward, by itself."""
    best, before = 0.0, 3
    for layer in LAYERS.values():
        size = 64 // layer.shrinkage
        x, weight = (
            torch.rand(shape, device=DEVICE, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
            for shape in ((images, before, size, size), (layer.width, before, 3, 3))
        )
        call = partial(F.conv2d, x, weight, padding=1)
        seconds = side_by_side({"convolution": call}, repeats)["convolution"]
        best, before = max(best, 2 * 9 * before * layer.width * images * size**2 / seconds), layer.width
    return best


def utilisation(features: VGG19Features, batch: int, steps: int, rate: float, repeats: int, least: float | None) -> Row:
    """Compare a perceptual step's operations a second (five layers, fig1, trainer=fast) with the convolutions' rate.

    Only the floor's operations count, so that work which could be left out does not raise the figure.
    """
    cfg = composed(
        "model=frame_fusion_fig1",
        "trainer=fast",
        f"data.batch_size={batch}",
        f"data.train_videos={batch * (steps + 1)}",
    )
    data, module = instantiate(cfg.data), make_module(cfg)
    module.loss = Perceptual(features, "published")
    seconds = side_by_side({"step": partial(by_trainer, cfg, module, data, steps)}, repeats)["step"]
    ours: Any = module.model.head
    head = nn.Linear(ours.in_features, ours.out_features)  # those of ours are not counted on a CPU
    run = floor(head, torchvision_network(features)[:-1], batch)
    with torch.autocast(DEVICE.type, torch.bfloat16), Work() as work:
        run()
    achieved = work.operations / seconds
    return Row(
        f"perceptual step, batches of {batch}: share of the bfloat16 convolutions' rate",
        achieved / rate,
        f"{achieved / 1e12:.3g} T/s: {work.operations / 1e9:.4g} G operations and {work.bytes / 1e9:.3g} GB "
        f"of the floor in {1e3 * seconds:.3g} ms",
        f"{rate / 1e12:.3g} T/s",
        least,
    )


class Work(TorchDispatchMode):
    """Adds up what convolutions and matrix products must do at least: operations, and bytes, each tensor once.

    (PyTorch's ``FlopCounterMode`` has the formulas, but fails inside ``autograd.grad``.)
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations = self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if formula := flop_registry.get(func.overloadpacket):
            self.operations += formula(*args, **(kwargs or {}), out_val=result)
            self.bytes += sum(leaf.nbytes for leaf in tree_leaves((args, result)) if isinstance(leaf, torch.Tensor))
        return result
