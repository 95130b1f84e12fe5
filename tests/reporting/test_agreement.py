"""The agreement of metrics against SciPy and known answers."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from vsr_lightning.metrics import Metric
from vsr_lightning.reporting import agreement
from vsr_lightning.reporting.agreement import over_runs, over_videos, rank_correlations
from vsr_lightning.reporting.results import Group, Result
from vsr_lightning.reporting.sections import agreement as agreement_sections

METRICS = {"up": Metric("up", True), "down": Metric("down", False), "other": Metric("other", True)}
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _known_metrics(monkeypatch):
    monkeypatch.setattr("vsr_lightning.metrics.METRICS", METRICS)


def _group(tmp_path, scores):
    """One run per row of {loss: [(up, down, other) of each seed]}, with these scores in each of 30 videos and noise."""
    results = []
    for loss, seeds in scores.items():
        for seed, values in enumerate(seeds):
            record = {"status": "finished", "model": "net", "loss": loss, "seed": seed, "epochs": 1, "config": {}}
            result = Result(tmp_path, record | {"scores": dict(zip(METRICS, values, strict=True))})
            noise = RNG.normal(size=30)
            columns = {"up": noise, "down": -noise, "other": RNG.normal(size=30)}
            result.__dict__["frames"] = {"video": np.arange(30), "frame": np.zeros(30, int), **columns}
            results.append(result)
    return Group("A", "", tuple(results))


def test_rank_correlations_are_scipys():
    table = RNG.normal(size=(12, 3)).round(1)
    assert rank_correlations(table) == pytest.approx(spearmanr(table).statistic)


def test_metrics_that_rank_runs_alike_agree_whatever_their_direction(tmp_path):
    scores = {str(loss): [(loss + seed / 10, -loss, RNG.normal()) for seed in range(3)] for loss in range(6)}
    group = _group(tmp_path, scores)
    found = over_runs(group.conditions, METRICS, ["up", "down", "other"])
    together, apart = found["up", "down"], found["up", "other"]
    assert together.mean > 0.9
    assert together.low > 0.7
    assert apart.low < 0 < apart.high
    table = np.array([(up, -down) for seeds in scores.values() for up, down, _ in seeds])
    assert together.mean == pytest.approx(spearmanr(table).statistic)


def test_over_videos_each_run_has_its_own_order(tmp_path):
    group = _group(tmp_path, {"a": [(1, 1, 1)] * 2, "b": [(2, 2, 2)] * 2})
    found = over_videos(group, ["up", "down", "other"])
    assert found["up", "down"] == pytest.approx((1, 1, 1))
    expected = np.mean([spearmanr(it.frames["up"], it.frames["other"]).statistic for it in group.results])
    low, mean, high = (found["up", "other"][place] for place in (1, 0, 2))
    assert mean == pytest.approx(expected)
    assert low < mean < high


def test_the_report_has_both_tables(tmp_path):
    group = _group(tmp_path, {str(loss): [(loss, loss, RNG.normal())] * 2 for loss in range(8)})
    runs, videos = agreement_sections(group)
    assert runs.rows[0] == {"": "down", "up": "-1.00 (-1.00 to -1.00)"}
    assert list(videos.rows[1]) == ["", "up", "down"]
    assert (videos.numbers[0]["one"], videos.numbers[0]["other"]) == ("up", "down")


def test_a_metric_of_the_set_is_not_ranked_over_videos(tmp_path, monkeypatch):
    group = _group(tmp_path, {str(loss): [(loss, loss, RNG.normal())] * 2 for loss in range(8)})
    monkeypatch.setattr("vsr_lightning.metrics.METRICS", METRICS | {"other": Metric("other", True, sees="set")})
    runs, videos = agreement_sections(group)
    assert [row[""] for row in runs.rows] == ["down", "other"]
    assert [row[""] for row in videos.rows] == ["down"]


def test_too_few_runs_say_nothing(tmp_path):
    assert over_runs(_group(tmp_path, {"a": [(1, 2, 3)] * 3}).conditions, METRICS, ["up", "down"]) == {}
    assert agreement.over_videos(Group("A", "", ()), ["up"]) == {}
