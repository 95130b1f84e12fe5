"""``python -m benchmarks [part ...]``: all parts unless told, 10 to 18 minutes on two CPU cores."""

import argparse
import logging
import platform
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

import vsr_lightning
from benchmarks import films, frames, gpu, perceptual, startup, steps, videos, windows
from benchmarks.rows import Row, table
from vsr_lightning.losses.vgg import VGG19Features, random_layers


def imagenet_size() -> VGG19Features:
    """Random weights of VGG-19's full size: as fast as ImageNet's."""
    return VGG19Features(random_layers(1), "random, of VGG-19's size")


def main() -> None:
    """Measure, and print the ratios."""
    features = imagenet_size()
    parts: dict[str, Callable[[int], Iterator[Row]]] = {
        "startup": startup.benchmark,
        "data": windows.benchmark,
        "frames": frames.benchmark,
        "inference": videos.benchmark,
        "films": films.benchmark,
        "loss": partial(perceptual.benchmark, features),
        "steps": partial(steps.benchmark, features),
        "extras": steps.extras,
        "gpu": partial(gpu.benchmark, features),
    }
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"which: {', '.join(parts)}")
    parser.add_argument("--repeats", type=int, default=4, help="timed rounds, of which the median counts")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(parts):
        parser.error(f"no part {', '.join(sorted(unknown))}: choose among {', '.join(parts)}")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    begin, rows = time.monotonic(), list[Row]()
    for number, name in enumerate(arguments.parts or parts, start=1):
        for row in parts[name](arguments.repeats):
            rows.append(row)
            done = f"[{time.monotonic() - begin:4.0f} s, part {number} of {len(arguments.parts or parts)}]"
            print(f"{done} {row.what}: {row.ratio:.3g} {row.verdict}", file=sys.stderr, flush=True)
    short = sum(row.verdict == "SHORT" for row in rows)
    print(f"\n{machine()}\n\n{table(rows)}\n\n{len(rows)} ratios, {short} short of their target, "
          f"{time.monotonic() - begin:.0f} s")  # fmt: skip


def machine() -> str:
    """Name what the figures come from."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else _processor()
    return (
        f"{device}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}; Python "
        f"{platform.python_version()}, torch {torch.__version__}, vsr_lightning {vsr_lightning.__version__}"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")  # Linux: Python itself knows no more than the architecture there
    found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text(encoding="utf-8")) if cpuinfo.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
