"""Intervals hold the truth as often as they say, whatever varies."""

import numpy as np
import pytest
from scipy import stats

from vsr_lightning.reporting.intervals import interval, same_order


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("spread", [(1, 1, 1), (0.3, 1, 1), (0.05, 1, 1), (1, 0.1, 0.1)], ids=str)
def test_it_holds_the_truth_in_95_of_100_studies(seeds, spread):
    rng = np.random.default_rng(0)
    of_seed, of_video, of_both = spread
    held = []
    for _ in range(400):
        values = of_seed * rng.normal(size=(seeds, 1)) + of_video * rng.normal(size=(1, 50))
        found = interval(values + of_both * rng.normal(size=(seeds, 50)))
        held.append(found.low < 0 < found.high)
    assert 0.90 < np.mean(held) < 0.99  # of 400: two standard errors are 2 %


def test_without_a_difference_between_videos_it_is_that_of_the_seeds():
    of_seeds = np.array([1.0, 2.0, 4.0])
    found = interval(of_seeds[:, None] + np.zeros(1000))
    expected = stats.ttest_1samp(of_seeds, 0).confidence_interval(0.95)
    assert found == pytest.approx((7 / 3, expected.low, expected.high))


def test_a_higher_level_is_wider_and_as_scipy_has_it():
    of_seeds = np.array([1.0, 2.0, 4.0])
    found = interval(of_seeds[:, None] + np.zeros(1000), 0.999)
    expected = stats.ttest_1samp(of_seeds, 0).confidence_interval(0.999)
    assert found[1:] == pytest.approx((expected.low, expected.high))
    one_seed = np.random.default_rng(0).normal(size=(1, 30))
    assert interval(one_seed, 0.999).low < interval(one_seed).low


def test_without_a_difference_between_seeds_it_is_that_of_the_videos():
    of_videos = np.random.default_rng(0).normal(size=40)
    found = interval(np.tile(of_videos, (3, 1)))
    expected = stats.ttest_1samp(of_videos, 0).confidence_interval(0.95)
    assert found == pytest.approx((of_videos.mean(), expected.low, expected.high))


def test_one_seed_has_an_interval_over_videos_only_and_one_video_none():
    values = np.random.default_rng(0).normal(size=(1, 30))
    found = interval(values)
    rng = np.random.default_rng(1)
    means = [rng.choice(values[0], 30).mean() for _ in range(5000)]
    assert found[1:] == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])), abs=0.03)
    assert np.isnan(interval(values[:, :1])[1:]).all()
    assert interval(np.ones((2, 3))) == (1, 1, 1)


def test_the_next_training_is_as_likely_of_the_other_sign_as_drawn():
    rng = np.random.default_rng(0)
    told, came = [], []
    for _ in range(4000):
        drawn = rng.normal(0.7, 1, size=6)
        told.append(same_order(drawn[:5]))
        came.append(np.sign(drawn[:5].mean()) == np.sign(drawn[5]))
    assert np.mean(told) == pytest.approx(np.mean(came), abs=0.03)
    assert same_order(np.array([1.0, 1.0])) == 1
    assert np.isnan(same_order(np.array([1.0])))
