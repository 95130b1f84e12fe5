import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.support import TINY
from vsr_lightning.data import MovingMNIST
from vsr_lightning.degradation import Batch, Degradation
from vsr_lightning.losses import Perceptual
from vsr_lightning.models import FrameFusion
from vsr_lightning.models.blocks import IMAGENET_MEAN, IMAGENET_STD
from vsr_lightning.published_code import PublishedProcedure, published_scores, score_constant
from vsr_lightning.reporting.report import write_report


def _procedure(loss):
    torch.manual_seed(0)
    return PublishedProcedure(FrameFusion((2, 4), (True, False), output="sigmoid", init="torch"), loss)


def test_gradients_are_those_of_one_window_at_a_time_summed(monkeypatch):
    frames = (torch.rand(3, 5, 1, 32, 32), torch.rand(3, 1, 64, 64))
    module, batch = _procedure(nn.MSELoss()), Batch(*frames, torch.arange(3), torch.zeros(3))
    monkeypatch.setattr(module, "log_dict", lambda *args, **kwargs: None)
    module.training_step(batch, 1).backward()
    together = [parameter.grad.clone() for parameter in module.parameters()]
    module.zero_grad()
    for low_res, target in zip(*frames, strict=True):
        prediction = module.model(low_res[None])
        assert 0 <= prediction.min() <= prediction.max() <= 1
        ((prediction - 255 * target) ** 2).mean().backward()
    for parameter, expected in zip(module.parameters(), together, strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-3)


def test_gradients_are_summed_over_the_windows_of_all_devices(monkeypatch):
    frames = (torch.rand(3, 5, 1, 32, 32), torch.rand(3, 1, 64, 64), torch.arange(3), torch.zeros(3))
    module, whole = _procedure(nn.MSELoss()), Batch(*frames)
    monkeypatch.setattr(module, "log", lambda *args, **kwargs: None)
    module.training_step(whole, 1).backward()
    expected = [parameter.grad.clone() for parameter in module.parameters()]
    module.zero_grad()
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    total = {"mean": torch.tensor(1.5), "sum": torch.tensor(3.0)}  # of two devices' two windows and one
    strategy = SimpleNamespace(reduce=lambda value, reduce_op: total[reduce_op])
    monkeypatch.setattr(PublishedProcedure, "trainer", SimpleNamespace(strategy=strategy))
    for share in (slice(2), slice(2, 3)):
        module.training_step(Batch(*(column[share] for column in frames)), 1).backward()
    for parameter, together in zip(module.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad / 2, together, rtol=1e-4, atol=1e-3)  # DDP takes the mean


def test_scores_are_summed_over_a_videos_frames_and_divided_by_videos():
    prediction, target = torch.rand(2, 6, 1, 64, 64), torch.rand(2, 6, 1, 64, 64)
    scores = published_scores(prediction.flatten(0, 1), target.flatten(0, 1), frames=6)
    psnr = ssim = 0.0
    for x, y in zip(prediction.double().numpy(), 255 * target.double().numpy(), strict=True):
        for a, b in zip(x, y, strict=True):
            psnr += 10 * np.log10(255**2 / np.mean((a - b) ** 2))
            covariance = np.mean((a - a.mean()) * (b - b.mean()))
            luminance = (2 * a.mean() * b.mean() + 0.01) / (a.mean() ** 2 + b.mean() ** 2 + 0.01)
            ssim += luminance * (2 * covariance + 0.03) / (a.var() + b.var() + 0.03)
    assert scores["psnr_published"].mean().item() == pytest.approx(psnr / 2, rel=1e-5)
    assert scores["ssim_published"].mean().item() == pytest.approx(ssim / 2, rel=1e-4)


def test_a_perceptual_loss_gets_five_taps_and_no_normalisation(small_features):
    loss = _procedure(Perceptual(small_features)).loss
    assert tuple(loss.weights) == ("relu1_2", "relu2_2", "relu3_4", "relu4_4", "relu5_4")
    x, y = torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    expected = Perceptual(small_features, "published")(x * std + mean, y * std + mean)
    torch.testing.assert_close(loss(x, y), expected, rtol=1e-4, atol=1e-5)
    gray = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(loss(gray, gray + 1), loss(gray.expand(-1, 3, -1, -1), gray.expand(-1, 3, -1, -1) + 1))


def test_a_clip_uses_these_frames_only():
    def data(**changes):
        return MovingMNIST(Degradation(kernel_size=1), source="generated", train_videos=4, test_videos=2, **changes)

    late = data(frame_range=(10, 20))
    assert late.starts == 6
    whole = data()
    targets = whole.test_windows(2).target.unflatten(0, (2, 16))[:, 10:].flatten(0, 1)
    assert torch.equal(late.test_windows(2).target, targets)
    for clip in ((10, 21), (5, 5), (1,)):
        with pytest.raises(
            ValueError, match=r"data\.frame_range=\[.*is not \[first, last \+ 1\] within the 20 frames of a video"
        ):
            data(frame_range=clip)


def test_a_constant_picture_scores_what_the_formula_says():
    data = MovingMNIST(Degradation(), source="generated", train_videos=1, test_videos=2, frame_range=(10, 20))
    sharp = data.videos.frames[8000:8002, 12:18].astype(float)
    for value in (0, 1):
        psnr = 10 * np.log10(255**2 / ((sharp - value) ** 2).mean((2, 3)))
        assert score_constant(data, value, 6)["psnr_published"] == pytest.approx(psnr.sum(1).mean(), rel=1e-6)


@pytest.mark.slow
def test_the_experiment_scores_what_an_empty_picture_does_and_the_report_says_so(vsr, tmp_path):
    small = [override for override in TINY if "frame_range" not in override]
    vsr("-m", *small, "loss=mse,perceptual", "experiment=published_code", "hydra.sweep.dir=published", tiny=False)
    vsr("-m", "loss=mse,perceptual", "trainer.max_epochs=1", "hydra.sweep.dir=corrected")
    run = json.loads(next((tmp_path / "published").glob("0_*/run.json")).read_text())
    config = run["config"]
    assert (config["data"]["degradation"]["interpolation"], config["data"]["frame_range"]) == ("bilinear", [10, 20])
    assert (config["model"]["output"], config["model"]["init"]) == ("sigmoid", "torch")
    assert (run["data"]["frame_range"], run["data"]["degradation"]["interpolation"]) == ([10, 20], "bilinear")
    write_report([tmp_path / "published", tmp_path / "corrected"], tmp_path / "report")
    rows = {row["trained on"]: row for row in csv.DictReader((tmp_path / "report/published_procedure.csv").open())}
    assert [rows[loss]["paper"] for loss in ("mse", "perceptual")] == ["83.78", "83.24"]
    empty = float(rows["(a picture that is 0 everywhere)"]["published procedure"])
    for loss in ("mse", "perceptual"):
        assert float(rows[loss]["published procedure"]) == pytest.approx(empty, abs=0.5)
        assert float(rows[loss]["SSIM: published procedure"]) < 5e-3
        assert float(rows[loss]["corrected (dB)"]) < 30
    text = (tmp_path / "report" / "report.md").read_text()
    assert "Why Table 1 reads 83 dB" in text
    assert "procedure SuperResolution instead of PublishedProcedure" in text
