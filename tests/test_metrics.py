from functools import partial

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vsr_lightning.data.moving_mnist.generated import generate
from vsr_lightning.losses import SSIM, Perceptual
from vsr_lightning.losses.metric_losses import alexnet_path
from vsr_lightning.metrics import MAX_DB, METRICS, frame_scores, score_frames, temporal_error

perceptual_metrics = partial(score_frames, METRICS)


@pytest.fixture
def frames():
    target = torch.from_numpy(generate([0, 8000])[:, ::5].reshape(-1, 1, 64, 64)).float() / 255
    noise = torch.linspace(0.02, 0.5, len(target))[:, None, None, None] * torch.randn_like(target)
    return target + noise, target


def test_psnr_matches_skimage_frame_by_frame(frames):
    prediction, target = frames
    expected = [peak_signal_noise_ratio(t, p, data_range=1) for p, t in _pictures(prediction, target)]
    np.testing.assert_allclose(frame_scores(prediction, target)["psnr"], expected, atol=1e-4)


def test_ssim_matches_skimage_frame_by_frame(frames):
    prediction, target = frames
    expected = [
        structural_similarity(t, p, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for p, t in _pictures(prediction, target)
    ]
    np.testing.assert_allclose(frame_scores(prediction, target)["ssim"], expected, atol=1e-4)


def _as_the_field_does(score, prediction, target, crop_border, **how):
    inner = np.s_[crop_border:-crop_border, crop_border:-crop_border]
    pairs = zip(prediction.clamp(0, 1).double(), target.double(), strict=True)
    pictures = ((rgb2ycbcr(image.permute(1, 2, 0).numpy())[..., 0][inner] for image in pair) for pair in pairs)
    return [score(t, p, data_range=255, **how) for p, t in pictures]


def test_psnr_and_ssim_of_the_luminance_inside_a_border_match_skimage():
    target = torch.rand(3, 3, 24, 32)
    prediction = target + torch.linspace(0.02, 0.3, 3)[:, None, None, None] * torch.randn_like(target)
    scores = frame_scores(prediction, target, luminance=True, crop_border=4)
    expected = _as_the_field_does(peak_signal_noise_ratio, prediction, target, 4)
    np.testing.assert_allclose(scores["psnr"], expected, atol=1e-4)
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    expected = _as_the_field_does(structural_similarity, prediction, target, 4, **window)
    np.testing.assert_allclose(scores["ssim"], expected, atol=1e-4)
    whole = frame_scores(prediction, target)
    assert all(torch.equal(scores[name], whole[name]) for name in ("psnr_eq2", "ssim_eq1"))
    assert not torch.allclose(scores["psnr"], whole["psnr"])


def test_psnr_and_ssim_of_colours_are_over_all_channels():
    target = torch.rand(2, 3, 24, 32)
    prediction = target + 0.1 * torch.randn_like(target)
    scores = frame_scores(prediction, target)
    pairs = list(zip(prediction.clamp(0, 1).double().numpy(), target.double().numpy(), strict=True))
    np.testing.assert_allclose(
        scores["psnr"], [peak_signal_noise_ratio(t, p, data_range=1) for p, t in pairs], atol=1e-4
    )
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 0}
    np.testing.assert_allclose(
        scores["ssim"], [structural_similarity(t, p, data_range=1, **window) for p, t in pairs], atol=1e-4
    )


def test_grey_frames_are_luminance_already(frames):
    torch.testing.assert_close(frame_scores(*frames, luminance=True), frame_scores(*frames))


def test_a_border_that_leaves_too_little_is_refused(frames):
    with pytest.raises(
        ValueError, match=r"module\.crop_border=27 leaves less than 11 pixels of frames of 64x64: lower it"
    ):
        frame_scores(*frames, crop_border=27)


def test_temporal_error_is_the_error_of_the_change_from_frame_to_frame():
    prediction, target = torch.rand(2, 2, 5, 3, 8, 6)  # two videos of five frames
    expected = np.abs(np.diff(prediction.numpy(), axis=1) - np.diff(target.numpy(), axis=1)).mean((2, 3, 4))
    images, video = (prediction.flatten(0, 1), target.flatten(0, 1)), torch.arange(2).repeat_interleave(5)
    found = temporal_error(*images, video, torch.arange(2, 7).repeat(2)).unflatten(0, (2, 5))
    assert found[:, 0].isnan().all()
    np.testing.assert_allclose(found[:, 1:], expected, rtol=1e-5)
    gaps = temporal_error(*images, video, torch.tensor([0, 1, 3, 4, 6, 7, 8, 9, 11, 12]))
    assert gaps.isnan().tolist() == [True, False, True, False, True, True, False, False, True, False]


def test_a_constant_error_has_no_temporal_error():
    target = torch.rand(5, 1, 8, 8) / 2
    assert temporal_error(target + 0.25, target, torch.zeros(5), torch.arange(5))[1:].max() < 1e-6


def test_eq2_matches_skimage_on_0_to_255(frames):
    prediction, target = frames
    expected = [peak_signal_noise_ratio(t * 255, p * 255, data_range=255) for p, t in _pictures(prediction, target)]
    np.testing.assert_allclose(frame_scores(prediction, target)["psnr_eq2"], expected, atol=1e-4)


def test_eq1_matches_the_equation_written_out(frames):
    prediction, target = frames
    expected = []
    for x, y in _pictures(prediction * 1, target):
        x, y = 255 * x.ravel(), 255 * y.ravel()
        cov = np.cov(x, y, bias=True)
        luminance = (2 * x.mean() * y.mean() + 0.01) / (x.mean() ** 2 + y.mean() ** 2 + 0.01)
        expected.append(luminance * (2 * cov[0, 1] + 0.03) / (cov[0, 0] + cov[1, 1] + 0.03))
    np.testing.assert_allclose(frame_scores(prediction, target)["ssim_eq1"], expected, atol=1e-4)


def test_predictions_are_clamped_before_they_are_scored(frames):
    prediction, target = frames
    for scores in (frame_scores, perceptual_metrics):
        for name, score in scores(prediction, target).items():
            torch.testing.assert_close(score, scores(prediction.clamp(0, 1), target)[name])


@pytest.mark.parametrize("frame", [torch.rand(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)])
def test_identical_frames_score_the_maximum_and_leave_the_mean_finite(frame):
    scores = frame_scores(frame, frame)
    assert scores["psnr"].item() == scores["psnr_eq2"].item() == MAX_DB
    assert scores["ssim"].item() == pytest.approx(1, abs=1e-5)
    assert scores["ssim_eq1"].item() == pytest.approx(1, abs=1e-5)
    assert perceptual_metrics(frame, frame)["haarpsi"].item() == pytest.approx(1, abs=1e-5)
    assert perceptual_metrics(frame, frame)["vgg_distance"].item() == 0


def test_an_empty_prediction_scores_low_but_finite():
    target = torch.from_numpy(generate([0])[0, :, None]).float() / 255
    scores = {**frame_scores(torch.zeros_like(target), target), **perceptual_metrics(torch.zeros_like(target), target)}
    assert all(torch.isfinite(score).all() for score in scores.values())
    assert scores["ssim_eq1"].max() < 1e-3
    assert scores["haarpsi"].max() < 0.3


def _haarpsi(distorted, reference, c=30, alpha=4.2):
    """Reisenhofer et al. 2018, written out for one grey picture in 0..255."""

    def coefficients(picture):
        halved = (picture[::2, ::2] + picture[1::2, ::2] + picture[::2, 1::2] + picture[1::2, 1::2]) / 4
        found = []
        for scale in (1, 2, 3):
            size = 2**scale
            filter_ = np.ones((size, size)) / size
            filter_[: size // 2] *= -1
            pair = [convolve2d(halved, f)[size // 2 :, size // 2 :] for f in (filter_, filter_.T)]
            found.append(np.abs(pair)[:, : len(halved), : len(halved)])
        return found

    x, y = coefficients(distorted), coefficients(reference)
    weight = np.maximum(x[2], y[2])
    similarity = sum((2 * x[s] * y[s] + c) / (x[s] ** 2 + y[s] ** 2 + c) for s in (0, 1)) / 2
    mean = (weight / (1 + np.exp(-alpha * similarity))).sum() / weight.sum()
    return (np.log(mean / (1 - mean)) / alpha) ** 2


def test_haarpsi_matches_the_paper_written_out(frames):
    prediction, target = frames
    expected = [_haarpsi(255 * x, 255 * y) for x, y in _pictures(prediction, target)]
    np.testing.assert_allclose(perceptual_metrics(prediction, target)["haarpsi"], expected, rtol=1e-4)


def test_the_perceptual_score_is_the_loss_on_bundled_features_frame_by_frame(frames):
    prediction, target = frames
    loss = Perceptual("bundled")
    expected = [loss(p[None].clamp(0, 1), t[None]) for p, t in zip(prediction, target, strict=True)]
    torch.testing.assert_close(
        perceptual_metrics(prediction, target)["vgg_distance"], torch.stack(expected), rtol=1e-4, atol=0
    )


def test_perceptual_scores_are_in_full_precision_under_autocast(frames):
    expected = perceptual_metrics(*frames)
    with torch.autocast("cpu", torch.bfloat16):
        assert all(torch.equal(score, expected[name]) for name, score in perceptual_metrics(*frames).items())


@pytest.mark.slow
def test_lpips_joins_only_where_its_backbone_is_cached(frames):
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity
    from torchvision.models import alexnet

    prediction, target = (images[:3] for images in frames)
    assert "lpips" not in perceptual_metrics(prediction, target)
    alexnet_path().parent.mkdir(parents=True)
    torch.save(alexnet(weights=None).state_dict(), alexnet_path())
    expected = [
        learned_perceptual_image_patch_similarity(
            p[None].clamp(0, 1).expand(-1, 3, -1, -1), t[None].expand(-1, 3, -1, -1), net_type="alex", normalize=True
        )
        for p, t in zip(prediction, target, strict=True)
    ]
    torch.testing.assert_close(perceptual_metrics(prediction, target)["lpips"], torch.stack(expected))


def _pictures(prediction, target):
    return zip(prediction.clamp(0, 1)[:, 0].double().numpy(), target[:, 0].double().numpy(), strict=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("luminance", [False, True])
def test_all_scores_of_a_step_are_in_full_precision_under_autocast(dtype, luminance):
    """On bright frames with little contrast, where half precision has no digits left for a variance."""
    target = 0.6 + 0.1 * torch.rand(2, 3, 32, 32)
    prediction = target + 0.02 * torch.randn_like(target)
    expected = frame_scores(prediction, target, luminance)
    with torch.autocast("cpu", dtype):
        found, loss = frame_scores(prediction, target, luminance), SSIM()(prediction, target)
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert torch.equal(loss, SSIM()(prediction, target))
