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
