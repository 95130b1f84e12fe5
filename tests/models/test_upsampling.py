from functools import cache

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from sklearn.datasets import load_sample_images

from tests.support import compose_train
from vsr_lightning.degradation import Degradation
from vsr_lightning.metrics import frame_scores

CROP = 32


@cache
def _photographs():
    return [np.moveaxis(image, -1, 0) for image in load_sample_images().images]


def _textured(seed, windows, crop):
    """Windows of five frames, of a camera that moves over two photographs: (B, 5, 3, crop, crop) uint8."""
    draw, clips = np.random.default_rng(seed), []
    for _ in range(windows):
        photograph = _photographs()[draw.integers(2)]
        top, left = (draw.integers(side - crop - 5) for side in photograph.shape[1:])
        clips.append(np.stack([photograph[:, top + t : top + t + crop, left + t : left + t + crop] for t in range(5)]))
    return torch.from_numpy(np.stack(clips))


@pytest.mark.parametrize(
    ("name", "steps", "keys"),
    [
        ("residual_fusion", 300, ["model.width=16"]),
        ("residual_fusion", 300, ["model.width=32"]),
        pytest.param("deformable", 600, ["model.width=16", "model.features=0"], marks=pytest.mark.slow),
    ],
)
def test_x4_at_a_high_rate_learns_more_than_bicubic(name, steps, keys):
    """With a ReLU between the stages of the upsampler, each ends with not one active unit there."""
    keys += ["model.blocks=2"]
    network = instantiate(compose_train(f"model={name}", *keys, "model.channels=3", "data.degradation.scale=4").model)
    degrade = Degradation(scale=4, kernel_size=1)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)

    for step in range(steps):
        frames = _textured(step, 4, CROP)
        optimizer.zero_grad()
        torch.nn.functional.l1_loss(network(degrade(frames, torch.zeros(4))), frames[:, 2] / 255).backward()
        optimizer.step()
        schedule.step()
    frames = _textured(steps, 64, 2 * CROP)
    low_res, target = degrade(frames, torch.zeros(64)), frames[:, 2] / 255
    with torch.no_grad():
        images = network(low_res), network.skip(low_res)
    ours, bicubic = (frame_scores(image.clamp(0, 1), target)["psnr"].mean() for image in images)
    assert ours > bicubic + 0.1
