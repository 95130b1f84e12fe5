"""Metrics of a whole test set against independent references and known answers."""

from itertools import product

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import wasserstein_distance
from torch import nn
from torchmetrics.image.kid import KernelInceptionDistance
from torchvision.transforms.functional import gaussian_blur

from vsr_lightning.data.moving_mnist.generated import generate
from vsr_lightning.judges import KernelDistance, SlicedWasserstein, ToldApart
from vsr_lightning.judges.jackknife import pseudo_values
from vsr_lightning.judges.kernel_distance import kernel_pseudo_values
from vsr_lightning.judges.tiles import Tiles, cut, tiles_of


def frames_of(first: int, videos: int = 40) -> torch.Tensor:
    """Four frames of each of some generated videos, (N, 1, 64, 64) in [0, 1]."""
    return torch.from_numpy(generate(range(first, first + videos))[:, ::5]).flatten(0, 1)[:, None] / 255


def tiles(images: torch.Tensor, per_unit: int = 4) -> Tiles:
    return Tiles(images, torch.arange(len(images)) // per_unit)


REAL, OTHERS = tiles(frames_of(0)), tiles(frames_of(1000))
BLURRED = tiles(gaussian_blur(OTHERS.images, [5, 5], [1.0, 1.0]))
JUDGES = [SlicedWasserstein(directions=16), ToldApart(), KernelDistance("bundled", "relu2_2")]


def interval(values: torch.Tensor) -> tuple[float, float]:
    mean, error = float(values.mean()), float(values.std() / len(values) ** 0.5)
    return mean - 3 * error, mean + 3 * error


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: type(judge).__name__)
def test_two_samples_of_one_distribution_can_not_be_told_and_blurred_ones_can(judge):
    same, blurred = judge(OTHERS, REAL), judge(BLURRED, REAL)
    assert same.shape == blurred.shape == (40,)
    low, high = interval(same)
    assert interval(blurred)[0] > high
    if isinstance(judge, SlicedWasserstein):  # a length has no negative values to cancel its noise
        assert same.mean() < blurred.mean() / 5
    else:
        assert low < (50 if isinstance(judge, ToldApart) else 0) < high
    if isinstance(judge, ToldApart):
        assert blurred.mean() > 90


@pytest.mark.parametrize("judge", JUDGES, ids=lambda judge: type(judge).__name__)
def test_more_blur_is_further_from_real_and_the_answer_is_always_the_same(judge):
    slightly = tiles(gaussian_blur(OTHERS.images, [5, 5], [0.4, 0.4]))
    state = torch.get_rng_state()
    first = judge(slightly, REAL)
    assert first.mean() < judge(BLURRED, REAL).mean()
    assert torch.equal(judge(slightly, REAL), first)
    assert torch.equal(torch.get_rng_state(), state), "a metric draws from numbers that are not its own"


def test_the_sliced_distance_is_that_of_scipy_and_its_jackknife_the_written_out_one():
    judge = SlicedWasserstein(directions=5, scales=2, stride=2)
    made, real = tiles(OTHERS.images[:16] ** 2), tiles(REAL.images[:16])

    def plain(images: torch.Tensor) -> float:
        generator, found, true = torch.Generator().manual_seed(0), [], real.images
        for _ in range(2):
            directions = F.normalize(torch.randn(49, 5, generator=generator), dim=0)
            projected = [judge.projected(it, directions).T.numpy() for it in (images, true)]
            found += [wasserstein_distance(one, two) for one, two in zip(*projected, strict=True)]
            images, true = F.avg_pool2d(images, 2), F.avg_pool2d(true, 2)
        return float(np.mean(found))

    whole = plain(made.images)
    expected = [4 * whole - 3 * plain(made.images[made.unit != unit]) for unit in range(4)]
    assert judge(made, real).numpy() == pytest.approx(expected, rel=0.05)


def test_the_kernel_distance_is_that_of_torchmetrics():
    """Of tiles that are units of their own; torchmetrics takes any network of features."""
    values = torch.Generator().manual_seed(0)
    x, y = torch.randn(50, 8, generator=values) + 0.3, torch.randn(50, 8, generator=values)

    class Given(nn.Module):
        num_features = 8

        def forward(self, index: torch.Tensor) -> torch.Tensor:
            return torch.cat([x, y])[index.flatten(1)[:, 0].long()]

    reference = KernelInceptionDistance(feature=Given(), subsets=1, subset_size=50, normalize=False)
    numbers = torch.arange(100, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    reference.update(numbers[50:], real=True)
    reference.update(numbers[:50], real=False)
    alone, expected = torch.arange(50), float(reference.compute()[0])
    assert float(kernel_pseudo_values(x, alone, y, alone).mean()) == pytest.approx(expected, rel=1e-4)


def test_pairs_within_a_video_do_not_count_and_leaving_one_out_is_written_out():
    values = torch.Generator().manual_seed(1)
    x, y = torch.randn(12, 3, generator=values).double() + 1, torch.randn(9, 3, generator=values).double()
    x_unit, y_unit = torch.arange(12) // 3, torch.arange(9) // 3

    def mean(a: torch.Tensor, a_unit: torch.Tensor, b: torch.Tensor, b_unit: torch.Tensor) -> float:
        places = product(range(len(a)), range(len(b)))
        counted = [(i, j) for i, j in places if a is not b or a_unit[i] != b_unit[j]]
        return float(np.mean([float((a[i] @ b[j] / 3 + 1) ** 3) for i, j in counted]))

    def plain(x: torch.Tensor, unit: torch.Tensor) -> float:
        return mean(x, unit, x, unit) + mean(y, y_unit, y, y_unit) - 2 * mean(x, unit, y, y_unit)

    whole = plain(x, x_unit)
    expected = [4 * whole - 3 * plain(x[x_unit != unit], x_unit[x_unit != unit]) for unit in range(4)]
    assert kernel_pseudo_values(x, x_unit, y, y_unit).numpy() == pytest.approx(expected)


def test_pseudo_values_of_a_mean_are_the_values_and_their_spread_is_right_for_a_curve_of_it():
    values = torch.rand(200, 1, generator=torch.Generator().manual_seed(0)).double()
    ones = torch.ones(200)
    assert torch.allclose(pseudo_values(values, ones, lambda mean: mean[:, 0]), values[:, 0])
    curved = pseudo_values(values, ones, lambda mean: mean[:, 0].exp())
    by_the_delta_method = values.mean().exp() * values.std()
    assert float(curved.std()) == pytest.approx(float(by_the_delta_method), rel=0.01)


def test_a_single_video_has_no_interval():
    alone = tiles(OTHERS.images[:4])
    for judge in JUDGES:
        with pytest.raises(ValueError, match="test on several"):
            judge(alone, REAL)


def test_flat_outputs_are_always_told_and_flat_real_frames_are_refused():
    flat = tiles(torch.full((8, 1, 64, 64), 0.5))
    assert torch.equal(ToldApart()(flat, REAL), torch.full((2,), 100.0))
    with pytest.raises(ValueError, match="flat"):
        ToldApart()(REAL, flat)


def test_tiles_are_cut_from_the_middle_and_few_videos_are_cut_into_parts():
    frames = torch.arange(2 * 3 * 70 * 130).view(2, 3, 70, 130).float()
    found = cut(frames, 64)
    assert found.shape == (2, 2, 3, 64, 64)
    assert torch.equal(found[1, 1], frames[1, :, 3:67, 65:129])
    clips = [(video, frame, torch.rand(1, 64, 64)) for video in range(2) for frame in range(20)]
    assert tiles_of(clips, 64).units == 8  # quarters
    assert tiles_of([(video, 0, torch.rand(1, 64, 64)) for video in range(20)], 64).units == 20


def test_neighboring_parts_are_not_told_apart_by_their_scene():
    """Three clips of a texture each, true frames on both sides: a network that knows the clip must not be asked."""
    draw = torch.Generator().manual_seed(0)
    scenes = F.interpolate(torch.rand(3, 1, 24, 24, generator=draw), (128, 128), mode="bicubic").clamp(0, 1)
    drifting = [(clip, t, scenes[clip, :, t : t + 64, t : t + 64]) for clip in range(3) for t in range(60)]
    made, real = (
        tiles_of([it for it in drifting if it[1] >= 32], 64),
        tiles_of([it for it in drifting if it[1] < 32], 64),
    )
    assert ToldApart()(made, real).mean() < 65  # three quarters and more where neighbors train


def test_structure_counts_and_not_color():
    def colored(color: tuple[float, ...], seed: int) -> Tiles:
        noise = torch.rand(16, 1, 64, 64, generator=torch.Generator().manual_seed(seed)) * 0.2
        return tiles(torch.tensor(color).view(1, 3, 1, 1) + noise)

    red, blue = colored((0.8, 0.1, 0.1), 0), colored((0.1, 0.1, 0.8), 1)
    blurred = Tiles(F.avg_pool2d(red.images, 3, 1, 1), red.unit)
    judge = SlicedWasserstein(directions=16)
    assert judge(blue, red).mean() < judge(blurred, red).mean() / 5
    flat = Tiles(torch.tensor((0.1, 0.1, 0.8)).view(1, 3, 1, 1).expand(16, 3, 64, 64), red.unit)
    assert ToldApart()(flat, red).min() == 100
