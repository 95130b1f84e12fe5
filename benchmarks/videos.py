"""Videos of 20 frames super-resolved: each frame encoded once, against window by window."""

from collections.abc import Iterator
from functools import partial

import torch
from hydra.utils import instantiate

from benchmarks.measure import DEVICE, side_by_side, small_pages
from benchmarks.plain import plainly, window_by_window
from benchmarks.rows import Row, faster
from benchmarks.steps import NETWORKS, composed
from vsr_lightning.inference.super_resolve import super_resolve
from vsr_lightning.models import Network


def benchmark(repeats: int) -> Iterator[Row]:
    """Measure both networks on one video at a time; the frames are the same to 1e-5."""
    low_res = torch.rand(20, 1, 32, 32, device=DEVICE)
    for name in NETWORKS:
        network = instantiate(composed(f"model={name}").model).to(DEVICE).eval()
        ours, plain = partial(_ours, network, low_res), partial(window_by_window, plainly(network), low_res)
        torch.testing.assert_close(ours(), plain().cpu(), rtol=0, atol=1e-5)
        seconds = side_by_side({"ours": ours, "plain": small_pages(plain)}, repeats)
        rate = {key: 16 / value for key, value in seconds.items()}
        target = 3 if name == "frame_fusion" else None
        yield faster(f"inference, {name}", rate["ours"], rate["plain"], "frames/s", "window by window", target)


def _ours(network: Network, low_res: torch.Tensor) -> torch.Tensor:
    return torch.stack([*super_resolve(network, low_res)])
