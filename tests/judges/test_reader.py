"""Legibility: what the reader reads in frames whose digits are known."""

import pytest
import torch
import torch.nn.functional as F
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from vsr_lightning.data.moving_mnist.generated import generate, labels
from vsr_lightning.feature_network.distortions import blur
from vsr_lightning.feature_network.recognition import count_digits
from vsr_lightning.judges import legibility, reader
from vsr_lightning.judges.network import Reader
from vsr_lightning.judges.reader import WEIGHTS, WEIGHTS_SHA256, read, read_right
from vsr_lightning.utils.config import CONF
from vsr_lightning.utils.download import sha256


@pytest.fixture(scope="module")
def videos():
    """Frames of test videos, (600, 1, 64, 64), and the digits that are in them, (600, 2)."""
    numbers = range(8000, 8060)
    frames = torch.from_numpy(generate(numbers)[:, ::2]).flatten(0, 1)[:, None] / 255
    return frames, torch.from_numpy(labels(numbers)).repeat_interleave(10, 0)


def test_the_truth_is_as_legible_as_itself(videos):
    scores = legibility(videos[0], videos[0])
    assert scores.shape == (600,)
    assert set(scores[~scores.isnan()].tolist()) == {1.0}


def test_test_videos_are_read_right(videos):
    frames, digits = videos
    right, sure = read_right(frames, digits), ~legibility(frames, frames).isnan()
    assert right.mean() > 0.85
    assert sure.float().mean() > 0.7  # those that count
    assert right[sure].mean() > 0.97


def test_other_digits_are_wrong_however_sharp(videos):
    frames, digits = videos
    others = frames.roll(10, 0)  # of the next video
    apart = count_digits(digits).minimum(count_digits(digits.roll(10, 0))).sum(1) == 0
    assert apart.sum() > 200
    assert legibility(others[apart], frames[apart]).nanmean() < 0.05
    assert read_right(others[apart], digits[apart]).mean() < 0.05


def test_one_digit_of_two_is_a_half(videos):
    frames, digits = videos
    common = count_digits(digits).minimum(count_digits(digits.roll(10, 0))).sum(1)
    assert legibility(frames.roll(10, 0)[common == 1], frames[common == 1]).nanmean() == pytest.approx(0.5, abs=0.05)


def test_the_more_blur_the_less_is_read(videos):
    scores = []
    for sigma in (0, 3, 5, 8):
        blurred = blur(videos[0], torch.full((600,), float(sigma)), kernel_size=31).clamp(0, 1)
        scores.append(legibility(blurred, videos[0]).nanmean().item())
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < 0.4


def test_nothing_is_read_in_an_empty_frame(videos):
    black = torch.zeros(1, 1, 64, 64)
    found, sure = read(black)
    assert found.sum() == 0
    assert sure == 0
    assert legibility(black.expand(600, -1, -1, -1), videos[0]).nanmean() == 0
    assert legibility(videos[0][:1], black).isnan()  # an illegible truth can't be missed


def test_the_reader_reads_frames_of_other_sizes(videos):
    frames = videos[0][:200]
    larger = F.pad(frames, (24, 40, 8, 24))
    assert larger.shape == (200, 1, 96, 128)
    assert legibility(larger, frames).nanmean() > 0.97
    assert legibility(F.pad(frames, (3, 4, 1, 0)), frames).nanmean() > 0.95


def test_what_is_read_depends_on_nothing_beside_the_frame(videos):
    frames = videos[0][:8]
    alone = torch.cat([legibility(*pair) for pair in zip(frames.roll(1, 0).split(1), frames.split(1), strict=True)])
    torch.testing.assert_close(alone, legibility(frames.roll(1, 0), frames), equal_nan=True)


def test_color_is_refused():
    with pytest.raises(ValueError, match="legibility is read from gray frames, not from 3 channels: leave it out"):
        legibility(torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64))


def test_the_weights_are_those_of_their_card():
    card = WEIGHTS.with_suffix(".md").read_text(encoding="utf-8")
    assert f"| `{WEIGHTS_SHA256}` |" in card
    assert sha256(WEIGHTS) == WEIGHTS_SHA256
    assert "`python -m vsr_lightning.pretrain network=reader`" in card
    assert WEIGHTS.stat().st_size < 500_000
    assert f"{sum(value.numel() for value in Reader().state_dict().values()):,} parameters" in card


def test_damaged_weights_are_refused(monkeypatch, tmp_path):
    (tmp_path / "reader.safetensors").write_bytes(WEIGHTS.read_bytes()[:-1])
    monkeypatch.setattr(reader, "WEIGHTS", tmp_path / "reader.safetensors")
    reader._reader.cache_clear()
    with pytest.raises(ValueError, match=r"the reader's weights are damaged: .* install vsr_lightning anew"):
        read(torch.zeros(1, 1, 64, 64))


def test_a_width_without_channels_is_refused():
    with pytest.raises(ValueError, match=r"width=0\.001 is out of range: choose 0\.042"):
        Reader(0.001)


def test_the_config_makes_a_metric_of_it(videos):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        metric = instantiate(compose("train", ["metrics=legibility"]).module.metrics.legibility)
    assert (metric.title, metric.higher_is_better, metric.test_only) == ("digits read", True, True)
    expected = legibility(videos[0][:20], videos[0][1:21])
    torch.testing.assert_close(metric.function(videos[0][:20], videos[0][1:21]), expected, equal_nan=True)
