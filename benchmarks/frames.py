"""Windows of real video from PNG frames: ours, from the files and from the cache, against BasicSR's loader of REDS."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torchvision.transforms.functional as TF
from PIL import Image
from sklearn.datasets import load_sample_images

from benchmarks.measure import side_by_side
from benchmarks.rows import Row, faster
from vsr_lightning.data import FrameFolders
from vsr_lightning.degradation import Degradation

CLIPS, FRAMES, SIZE = 6, 100, (720, 1280)  # as REDS has them
PICTURES = 6  # that differ, of a clip
CROP, WINDOWS = 256, 12  # of a timed round


def benchmark(repeats: int) -> Iterator[Row]:
    """Measure windows of five frames at scale 4, low-res ones as published, in one process."""
    try:
        reds = basicsr_class()
    except ImportError as error:
        print(f"no comparison with BasicSR's loader: pip install basicsr-volta ({error})", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "REDS"
        write_clips(root)
        how: dict[str, Any] = {"low_res": "published", "crop": CROP, "batch_size": WINDOWS // 2, "windows_per_clip": 2}
        rounds: dict[str, Callable[[], Any]] = {
            "files": partial(epoch, FrameFolders(Degradation(4, kernel_size=1), root, **how)),
            "cache": partial(epoch, FrameFolders(Degradation(4, kernel_size=1), root, cache=root / "cache", **how)),
        }
        rounds["BasicSR"] = partial(basicsr_epoch, basicsr_dataset(reds, root))
        rate = {name: WINDOWS / seconds for name, seconds in side_by_side(rounds, repeats).items()}
    for name, what, target in (("files", "decoded when they are used", 1.2), ("cache", "from the cache", 10)):
        yield faster(f"data=frames, {what}", rate[name], rate["BasicSR"], "windows/s", "BasicSR's REDSDataset", target)


def write_clips(root: Path) -> None:
    """Write clips of a camera that moves over a photograph, in the layout of REDS, sharp and low-res."""
    photographs = [Image.fromarray(image).resize((1600, 1000)) for image in load_sample_images().images]
    names = ["000", "011", "015", "020", *(f"{number:03d}" for number in range(30, 30 + CLIPS))]
    for number, name in enumerate(names):
        for part, factor in (("train_sharp", 1), ("train_sharp_bicubic/X4", 4)):
            clip = root / part / name
            clip.mkdir(parents=True)
            for frame in range(PICTURES):
                left, top = 7 * number + 3 * frame, 2 * frame
                picture = photographs[number % 2].crop((left, top, left + SIZE[1], top + SIZE[0]))
                picture.resize((SIZE[1] // factor, SIZE[0] // factor)).save(clip / f"{frame:08d}.png", compress_level=3)
            for frame in range(PICTURES, FRAMES):
                os.link(clip / f"{frame % PICTURES:08d}.png", clip / f"{frame:08d}.png")


def epoch(data: FrameFolders) -> None:
    """Serve one epoch, as a training step would have it."""
    for batch in data.train_dataloader():
        data.on_after_batch_transfer(batch, 0)


def basicsr_class() -> Callable[[dict[str, Any]], Any]:
    """Return BasicSR's REDSDataset; ImportError where it is not installed."""
    gone = "torchvision.transforms.functional_tensor"  # which it imports, and torchvision no longer has
    if gone not in sys.modules:
        stub = ModuleType(gone)
        stub.rgb_to_grayscale = TF.rgb_to_grayscale  # type: ignore[attr-defined]
        sys.modules[gone] = stub
    from basicsr.data.reds_dataset import REDSDataset

    return REDSDataset


def basicsr_dataset(reds: Callable[[dict[str, Any]], Any], root: Path) -> Any:
    """Return BasicSR's dataset of the same files."""
    listed = root / "meta.txt"
    names = sorted(path.name for path in (root / "train_sharp").iterdir())
    listed.write_text("".join(f"{name} {FRAMES} (720,1280,3)\n" for name in names), encoding="utf-8")
    return reds({
        "dataroot_gt": str(root / "train_sharp"), "dataroot_lq": str(root / "train_sharp_bicubic" / "X4"),
        "dataroot_flow": None, "meta_info_file": str(listed), "val_partition": "REDS4", "io_backend": {"type": "disk"},
        "num_frame": 5, "gt_size": CROP, "interval_list": [1], "random_reverse": False, "use_hflip": True,
        "use_rot": True, "scale": 4, "test_mode": False,
    })  # fmt: skip


def basicsr_epoch(dataset: Any) -> None:
    """Serve as many windows, one at a time and stacked, as its loader does."""
    draw = np.random.default_rng(0)
    items = [dataset[int(draw.integers(len(dataset)))] for _ in range(WINDOWS)]
    torch.stack([item["lq"] for item in items])
    torch.stack([item["gt"] for item in items])
