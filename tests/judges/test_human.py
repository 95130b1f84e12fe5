"""Metrics fitted to people, against the commands and functions that define them."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from torchvision.transforms.functional import to_pil_image

from vsr_lightning.judges import human
from vsr_lightning.judges.human import ColorVideoVDP, vmaf


def video(seed: int = 0, channels: int = 3) -> torch.Tensor:
    smooth = torch.rand(4, channels, 12, 12, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(smooth, (48, 48), mode="bicubic").clamp(0, 1)


@pytest.mark.slow
def test_jod_is_that_of_the_command(tmp_path):
    pytest.importorskip("pycvvdp")
    target = (255 * video()).round() / 255
    prediction = (255 * (target + 0.1 * video(1)).clamp(0, 1)).round() / 255
    for name, frames in (("test", prediction), ("ref", target)):
        for number, frame in enumerate(frames):
            to_pil_image(frame).save(tmp_path / f"{name}{number}.bmp")
    command = [sys.executable, "-m", "pycvvdp.run_cvvdp", "--test", "test%d.bmp", "--ref", "ref%d.bmp"]
    command += ["--frames", "0:3", "--fps", "25", "-d", "standard_fhd", "-q"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert float(ColorVideoVDP()(prediction, target)) == pytest.approx(float(told.split()[-1]), abs=1e-3)


def test_jod_falls_with_noise_and_is_ten_for_the_truth():
    pytest.importorskip("pycvvdp")
    metric, target = ColorVideoVDP(), video(channels=1)
    noise = 0.1 * torch.randn(1, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    scores = [metric(it.clamp(0, 1), target) for it in (target, target + noise, target + 2 * noise)]
    assert scores[0].shape == ()
    assert float(scores[0]) == pytest.approx(10)
    assert scores[0] > scores[1] + 0.1
    assert scores[1] > scores[2] + 0.1
    assert "standard_fhd" in metric.geometry()


def test_vmaf_ranks_blur_and_is_that_of_torchmetrics():
    pytest.importorskip("vmaf_torch")
    from torchmetrics.video import VideoMultiMethodAssessmentFusion

    target = video().repeat_interleave(2, -1).repeat_interleave(2, -2)
    blurred = torch.nn.functional.avg_pool2d(target, 5, 1, 2)
    scores = [vmaf(it, target) for it in (target, blurred)]
    assert scores[0].shape == (4,)
    assert scores[0].mean() > scores[1].mean() + 5
    reference = VideoMultiMethodAssessmentFusion()
    reference.update(blurred.movedim(0, 1)[None], target.movedim(0, 1)[None])
    assert np.allclose(scores[1], reference.compute()[0].clamp(0, 100), atol=1e-3)


@pytest.mark.parametrize(("metric", "package"), [(ColorVideoVDP(), "pycvvdp"), (vmaf, "vmaf_torch")])
def test_what_is_not_installed_is_named(monkeypatch, metric, package):
    human._cvvdp.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=r"vsr_lightning\[human\]"):
        metric(video(), video())
