import numpy as np
import pytest
import torch
import torchvision.transforms.functional as TF
from torchvision.transforms import InterpolationMode

from vsr_lightning.degradation import Degradation, downsample, gaussian_blur, to_unit_range


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(("scale", "kernel_size", "channels"), [(2, 3, 1), (4, 5, 3), (2, 1, 1)])
def test_matches_torchvision_window_by_window(interpolation, scale, kernel_size, channels):
    frames, blur = torch.rand(4, 5, channels, 64, 64), torch.tensor([0.0, 0.3, 0.7, 0.99])
    low_res = Degradation(scale, interpolation, kernel_size, (0.1, 2.0))(frames, blur)
    for i, place in enumerate(blur.tolist()):
        size = [64 // scale] * 2
        expected = TF.resize(frames[i], size, InterpolationMode(interpolation), antialias=True).clamp(0, 1)
        if kernel_size > 1:
            expected = TF.gaussian_blur(expected, [kernel_size] * 2, [0.1 + 1.9 * place] * 2)
        torch.testing.assert_close(low_res[i], expected, atol=1e-5, rtol=0)


def test_bicubic_overshoot_is_clamped():
    checkers = torch.zeros(1, 1, 1, 64, 64)
    checkers[..., 32:, :] = 1
    assert downsample(checkers, 2).min() == 0
    assert downsample(checkers, 2).max() == 1


def test_uint8_becomes_the_unit_range():
    assert to_unit_range(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])


@pytest.mark.parametrize("bad", [255.0, -0.1, float("nan")])
def test_floats_outside_the_unit_range_are_refused(bad):
    frames = torch.zeros(1, 5, 1, 8, 8)
    frames[0, 0, 0, 0, 0] = bad
    with pytest.raises(ValueError, match="give uint8, or float in"):
        Degradation()(frames, torch.zeros(1))


def test_each_window_has_its_own_blur():
    frames = torch.rand(1, 5, 1, 32, 32).repeat(3, 1, 1, 1, 1)
    blurred = gaussian_blur(frames, torch.tensor([0.1, 1.0, 2.0]), 3)
    deviations = blurred.std(dim=(1, 2, 3, 4)).numpy()
    assert np.all(np.diff(deviations) < 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"scale": 0}, "scale=0"), ({"interpolation": "lanczos"}, "choose one of bicubic, bilinear"),
     ({"kernel_size": 4}, "kernel_size=4 is not an odd"), ({"sigma": (0, 1)}, "sigma"), ({"sigma": (2, 1)}, "sigma"),
     ({"sigma": 3}, "sigma=3 is not")],
)  # fmt: skip
def test_bad_settings_name_the_key(changes, message):
    with pytest.raises(ValueError, match=message):
        Degradation(**changes)


def test_a_scale_that_does_not_divide_the_frame_is_refused():
    with pytest.raises(ValueError, match=r"64x64 can't be divided by data\.degradation\.scale=3"):
        Degradation(scale=3)(torch.zeros(1, 5, 1, 64, 64), torch.zeros(1))


def _imresize(picture, scale):
    """MATLAB's imresize(picture, 1/scale) of (H, W) in [0, 255], written out in float64 from its description."""

    def kernel(x):
        x = np.abs(x)
        near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
        return np.where(x <= 1, near, np.where(x <= 2, far, 0))

    def along_rows(values):
        side = len(values)
        mirror = np.concatenate([np.arange(side), np.arange(side)[::-1]])
        rows = []
        for out in range(side // scale):
            center = (out + 0.5) * scale - 0.5
            taps = np.arange(np.floor(center - 2 * scale), np.ceil(center + 2 * scale) + 1).astype(int)
            weights = kernel((taps - center) / scale)
            rows.append((weights[:, None] * values[mirror[taps % (2 * side)]]).sum(0) / weights.sum())
        return np.array(rows)

    return along_rows(along_rows(picture.astype(float)).T).T.clip(0, 255)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(12, 24), (48, 36)])
def test_matlabs_bicubic_is_its_imresize(scale, size):
    frames = torch.randint(0, 256, (1, 2, 3, *size), dtype=torch.uint8)
    low_res = 255 * Degradation(scale, "matlab", kernel_size=1).downsample(frames)[0]
    assert torch.equal(low_res, low_res.round())
    for found, sharp in zip(low_res.flatten(0, 1), frames[0].flatten(0, 1), strict=True):
        exact = _imresize(sharp.numpy(), scale)
        assert np.abs(found.numpy() - exact).max() <= 0.5 + 1e-4


def test_matlabs_bicubic_gives_the_values_of_the_fields_port_of_it():
    """As BasicSR's matlab_functions.imresize has them, by which its low-res sets are made."""
    number = np.arange(256).reshape(16, 16)
    picture = torch.from_numpy(((37 * number + 11 * (number // 16)) % 256).astype(np.uint8))
    low_res = 255 * Degradation(4, "matlab", kernel_size=1).downsample(picture[None, None, None])[0, 0, 0]
    assert low_res.round().int().tolist() == [
        [103, 125, 119, 123], [128, 115, 122, 124], [138, 130, 115, 120], [133, 133, 131, 108]]  # fmt: skip
