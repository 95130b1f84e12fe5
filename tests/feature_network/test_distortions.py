from itertools import pairwise

import pytest
import torch
import torchvision.transforms.functional as TF
from torchvision.transforms import InterpolationMode

from vsr_lightning.data.moving_mnist.generated import generate
from vsr_lightning.feature_network import distortions


@pytest.fixture
def frames():
    return torch.from_numpy(generate([8000])[0, :6, None]).float() / 255


def _mse(images, sharp):
    return (images - sharp).square().flatten(1).mean(1)


def test_blur_matches_torchvision_image_by_image(frames):
    sigma = torch.tensor([0.3, 0.7, 1.0, 1.3, 1.6, 2.0])
    expected = [TF.gaussian_blur(f, [13, 13], [s] * 2) for f, s in zip(frames, sigma.tolist(), strict=True)]
    torch.testing.assert_close(distortions.blur(frames, sigma), torch.stack(expected), atol=1e-5, rtol=0)


def test_resampling_matches_torchvision(frames):
    small = TF.resize(frames, [32, 32], InterpolationMode.BICUBIC, antialias=True).clamp(0, 1)
    expected = TF.resize(small, [64, 64], InterpolationMode.BICUBIC, antialias=False)
    torch.testing.assert_close(distortions.resample(frames), expected, atol=1e-5, rtol=0)


def test_shift_moves_pixels_and_brings_in_black(frames):
    shifted = distortions.shift(frames, 2)
    assert torch.equal(shifted[..., 2:], frames[..., :-2])
    assert not shifted[..., :2].any()


def test_noise_and_haze_are_as_strong_as_asked(frames):
    drawn, sigma = torch.randn(6, 1, 64, 64), torch.linspace(0, 0.5, 6)
    errors = (distortions.noise(frames, sigma, drawn) - frames).flatten(1)
    torch.testing.assert_close(errors.std(1), sigma * drawn.flatten(1).std(1))
    light = distortions.haze(frames, torch.ones(6))
    assert _mse(light, frames).min() > 0
    torch.testing.assert_close(distortions.haze(frames, torch.full((6,), 0.25)), 0.75 * frames + 0.25 * light)


def test_a_smooth_field_has_patches_and_unit_variance():
    field = distortions.smooth_field((4, 1, 64, 64), torch.Generator().manual_seed(0))
    torch.testing.assert_close(field.mean((1, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(field.std((1, 2, 3)), torch.ones(4))
    neighbours = (field[..., 1:] - field[..., :-1]).std()
    assert neighbours < 0.3  # against 1.4 of white noise


def test_erasing_takes_whole_strokes_and_leaves_the_others(frames):
    field = distortions.smooth_field((6, 1, 64, 64), torch.Generator().manual_seed(0))
    left = distortions.erase(frames, torch.zeros(6), field)
    ink = frames > 0.9
    assert ((left[ink] < 0.1).float().mean() > 0.2) & ((left[ink] > 0.8).float().mean() > 0.2)
    assert torch.equal(left[frames == 0], frames[frames == 0])


@pytest.mark.parametrize("name", ["blur", "haze", "noise", "erase"])
def test_errors_grow_with_the_level(name, frames):
    field = distortions.smooth_field((6, 1, 64, 64), torch.Generator())
    more = {"noise": [torch.randn(6, 1, 64, 64)], "erase": [field]}.get(name, [])
    distort = getattr(distortions, name)
    errors = [_mse(distort(frames, torch.full((6,), level), *more), frames) for level in (0.0, 0.3, 0.6, 0.9)]
    assert all((weaker < stronger).all() for weaker, stronger in pairwise(errors))
