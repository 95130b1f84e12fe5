"""Super-resolve a whole video; each low-res frame is encoded once where the network can be split for that."""

from collections.abc import Callable, Iterable
from typing import cast

import torch
from rich.progress import track
from torch import Tensor, nn

Step = Callable[[Tensor], Tensor]
EDGES = ("crop", "replicate")
CHUNK = 64  # frames at once: a few hundred MB for the largest network here
LONG = 1000  # frames from which on a progress bar is shown


@torch.no_grad()
def super_resolve(network: nn.Module, low_res: Tensor, frames: int = 5, edges: str = "crop") -> Tensor:
    """Predict every frame that has a whole window around it, or all.

    A network with ``encode``, (N, C, h, w) -> (N, ...), and ``fuse``, (B, T, ...) -> (B, C, H, W), is called through
    them, so that a frame which is in five windows is encoded once; any other by windows.

    Args:
        network: (B, frames, C, h, w) -> (B, C, H, W).
        low_res: (T, C, h, w) in [0, 1], on the network's device.
        frames: of a window, odd.
        edges: ``crop`` leaves ``frames // 2`` frames out at each end; ``replicate`` repeats the first and last frame.

    Returns:
        (T - frames + 1, C, H, W), or (T, C, H, W) where edges are replicated; on the CPU, clamped to [0, 1].

    Raises:
        ValueError: unknown ``edges``, or fewer frames than a window.
    """
    if edges not in EDGES:
        raise ValueError(f"edges={edges} is unknown: choose one of {', '.join(EDGES)}")
    half = frames // 2
    if edges == "replicate":
        low_res = torch.cat([low_res[:1].expand(half, -1, -1, -1), low_res, low_res[-1:].expand(half, -1, -1, -1)])
    if len(low_res) < frames:
        raise ValueError(f"the video has {len(low_res)} frames, a window {frames}: give more, or edges=replicate")
    split = hasattr(network, "encode") and hasattr(network, "fuse")
    encode, fuse = cast(tuple[Step, Step], (network.encode, network.fuse) if split else (nn.Identity(), network))
    chunks: Iterable[Tensor] = low_res.split(CHUNK)
    if len(low_res) >= LONG:
        chunks = track(chunks, "super-resolving", total=-(-len(low_res) // CHUNK))
    encoded, predictions = None, []
    for chunk in chunks:
        new = encode(chunk)
        encoded = new if encoded is None else torch.cat([encoded, new])
        if len(encoded) >= frames:
            windows = encoded.unfold(0, frames, 1).movedim(-1, 1)
            predictions.append(fuse(windows).float().clamp(0, 1).cpu())
            encoded = encoded[len(encoded) - frames + 1 :]
    return torch.cat(predictions)
