"""The study of docs/findings.md: many trainings by condition, treatment and network, and what may be said of them.

Below the folder of a study lie ``CONDITION/TREATMENT/RUN``, as ``docs/findings/train.sh`` trains them: a condition is
data at a scale, a treatment is a loss and how it was used.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vsr_lightning.metrics import Metric, scored_metrics
from vsr_lightning.reporting.intervals import Interval, interval, same_order
from vsr_lightning.reporting.results import Condition, Result, read_results
from vsr_lightning.reporting.statistics import by_unit, paired_values

WINDOW_NETWORK = "residual_fusion_small"
CONTROL, START = "l1", "start"  # treatments: what the others are compared with, and what they went on from
NETWORK_FREE = ("bicubic", "truth")  # treatments that train nothing
SURE = 0.999  # level of the intervals that the answer rests on, since a page has hundreds
AS_GOOD = 0.001  # share of a score that tells two learning rates from one another


@dataclass(frozen=True)
class Change:
    """How a treatment differs from the control in one metric, on the same videos and from the same starts.

    Attributes:
        metric: of what.
        values: (seeds, units) of the treatment minus the control.
        control: the control's mean.
    """

    metric: Metric
    values: np.ndarray
    control: float

    @property
    def mean(self) -> float:
        """The mean over seeds and units."""
        return float(self.values.mean())

    def over(self, level: float = 0.95) -> Interval:
        """Return the mean and the ends of its interval over seeds and videos."""
        return interval(self.values, level)

    @property
    def percent(self) -> Interval:
        """The mean and its 95 % interval, as shares of the control's mean, which counts as known, in percent.

        Raises:
            ValueError: that mean is not above 0.
        """
        if self.control <= 0:
            raise ValueError(f"{self.metric.title}: no percentage of {self.control:.4g}")
        return Interval(*(100 * value / self.control for value in self.over()))

    def better(self, level: float = SURE) -> bool:
        """Return whether the whole interval is on the better side."""
        found = self.over(level)
        return found.low > 0 if self.metric.higher_is_better else found.high < 0

    def worse(self, level: float = SURE) -> bool:
        """Return whether the whole interval is on the worse side."""
        found = self.over(level)
        return found.high < 0 if self.metric.higher_is_better else found.low > 0

    @property
    def open(self) -> bool:
        """Whether the 95 % interval holds 0."""
        found = self.over()
        return found.low <= 0 <= found.high

    @property
    def same_order(self) -> float:
        """The probability that another training would order the two the same."""
        return same_order(self.values.mean(1))


@dataclass(frozen=True)
class Arm:
    """The runs of one condition: each treatment of each network.

    Attributes:
        name: of the condition.
        conditions: by treatment and network, runs that differ in the seed.
    """

    name: str
    conditions: Mapping[tuple[str, str], Condition]

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """All metrics that a run here has."""
        found = scored_metrics(result.record for it in self.conditions.values() for result in it.results)
        return {name: metric for name, metric in found.items() if metric.compared}

    def runs(self, treatment: str, network: str = WINDOW_NETWORK) -> Condition:
        """Return the runs of a treatment; ValueError, with those that there are, if it has none."""
        key = (treatment, treatment if treatment in NETWORK_FREE else network)
        if key not in self.conditions:
            there = ", ".join(sorted({name for name, _ in self.conditions}))
            raise ValueError(f"{self.name} has no {treatment} of {network}: there are {there}")
        return self.conditions[key]

    def has(self, treatment: str, network: str = WINDOW_NETWORK) -> bool:
        """Return whether there are runs of a treatment."""
        return (treatment, treatment if treatment in NETWORK_FREE else network) in self.conditions

    def those(self, treatments: Iterable[str], network: str = WINDOW_NETWORK) -> list[str]:
        """Return the treatments that there are runs of, in their order."""
        return [treatment for treatment in treatments if self.has(treatment, network)]

    @property
    def clips(self) -> dict[int, str]:
        """The names of the test clips by their numbers; empty where they have none, or are many."""
        named = self.runs(CONTROL).results[0].record["data"].get("test_clips", {})
        return {int(number): name.split(",")[0] for number, name in named.items()}

    def of_video(self, number: int) -> "Arm":
        """Return the same runs with the scores of one test video only."""
        of_one = {
            key: Condition(it.label, tuple(result.of_video(number) for result in it.results))
            for key, it in self.conditions.items()
        }
        return Arm(self.name, of_one)

    def mean(self, treatment: str, metric: str, network: str = WINDOW_NETWORK) -> Interval:
        """Return a treatment's mean of a metric, with its 95 % interval over seeds and videos."""
        values = np.array([by_unit(result, metric) for result in self.runs(treatment, network).results])
        return interval(values[:, ~np.isnan(values).any(0)])

    def change(self, treatment: str, metric: str, network: str = WINDOW_NETWORK, control: str = CONTROL) -> Change:
        """Return a treatment's difference to the control, seed by seed and video by video.

        Raises:
            ValueError: one of the two was not trained, or they share no seed or no videos.
        """
        base, other = self.runs(control, network), self.runs(treatment, network)
        if not (values := paired_values(base, other, metric)).size:
            raise ValueError(f"{self.name}: {treatment} and {control} share no seed, or no videos, with {metric}")
        seeds = {result.record["seed"] for result in other.results}
        shared = [by_unit(it, metric) for it in base.results if it.record["seed"] in seeds and metric in it.frames]
        return Change(self.metrics[metric], values, float(np.nanmean(shared)))

    def gained(self, treatment: str = START, network: str = WINDOW_NETWORK) -> float:
        """Return what the last epoch gained in the PSNR of validation, mean over seeds, in dB; NaN without curves."""
        curves = [result.record.get("validation_psnr", ()) for result in self.runs(treatment, network).results]
        return float(np.mean([curve[-1] - curve[-2] for curve in curves if len(curve) > 1] or [math.nan]))


def runs_of_study(folder: Path) -> dict[Path, Result]:
    """Return the finished runs of a study by their places in its folder, without the bicubic that each sweep scores.

    Raises:
        FileNotFoundError: there are no runs.
        ValueError: a run does not lie in ``CONDITION/TREATMENT/RUN``.
    """
    runs = {result.path.relative_to(folder): result for result in read_results([folder]) if result.finished}
    if astray := [place for place in runs if len(place.parts) not in (2, 3)]:
        raise ValueError(
            f"{folder}: {astray[0]} is no CONDITION/TREATMENT/RUN: give a study's folder, as runs/findings"
        )
    return {
        place: it
        for place, it in runs.items()
        if it.record["model"] not in NETWORK_FREE or it.record["model"] == place.parts[1]
    }


def read_study(folder: Path) -> dict[str, Arm]:
    """Return the arms of a study by condition, in the order of their names; trials of rates are not of them."""
    arms: dict[str, dict[tuple[str, str], list[Result]]] = {}
    for place, result in runs_of_study(folder).items():
        if not is_trial(place):
            condition, treatment, *_ = place.parts
            arms.setdefault(condition, {}).setdefault((treatment, result.record["model"]), []).append(result)
    return {
        name: Arm(name, {key: Condition(key[0], _by_seed(results)) for key, results in arm.items()})
        for name, arm in sorted(arms.items())
    }


class Trial(NamedTuple):
    """One learning rate of a treatment, tried on held-out frames: lower scores are better."""

    rate: float
    score: float


def read_tuning(folder: Path) -> dict[tuple[str, str, str], list[Trial]]:
    """Return the trials of each condition, treatment and network, by rate.

    A treatment is judged by its own loss on frames that no test of the study sees, an adversarial one, whose
    discriminator moves, by the patch distance there. These frames are those that a trial was tested on, where they are
    others than the study's, and else those of its validation. Trials lie in ``CONDITION/tune_TREATMENT``, further
    scores of them, by ``evaluate held_out=true``, in ``CONDITION/tune_TREATMENT_held_out``.
    """
    runs = runs_of_study(folder)
    tests = {place.parts[0]: it.record["data"]["checksum"] for place, it in runs.items() if not is_trial(place)}
    found: dict[tuple[str, str, str], dict[float, Trial]] = {}
    for place, result in runs.items():
        condition, treatment, *_ = place.parts
        record, name = result.record, treatment.removeprefix("tune_").removesuffix("_held_out")
        if not is_trial(place) or name == START:
            continue
        by = "patch_distance" if "adversarial" in record["loss"] else "loss"
        others = condition in tests and record["data"]["checksum"] != tests[condition]
        if record["data"].get("held_out") or others:
            scores = record["scores"]
        else:
            scores = record.get("validation", {}) if by == "loss" else {}
        if by in scores:
            rate, score = float(record["config"]["optimizer"]["lr"]), scores[by]
            trial = Trial(rate, score if math.isfinite(score) else math.inf)
            found.setdefault((condition, name, record["model"]), {})[rate] = trial
    return {key: [trials[rate] for rate in sorted(trials)] for key, trials in found.items()}


def trials_of(folder: Path, condition: str, treatment: str, network: str) -> list[Trial]:
    """Return the trials of one tuning by rate; ValueError where none was tried, or none trained to an end."""
    trials = read_tuning(folder).get((condition, treatment, network), [])
    if not any(math.isfinite(trial.score) for trial in trials):
        raise ValueError(f"{folder} has no tuning of {treatment} of {network} in {condition}: train that first")
    return trials


def next_rate(trials: Sequence[Trial], grid: Iterable[float]) -> float | None:
    """Return a neighbor in the grid of the rate that did best, which was not tried yet; None where both were."""
    tried = {trial.rate for trial in trials}
    rates = sorted({*grid, *tried})
    place = rates.index(best(trials).rate)
    return next((rate for rate in rates[max(place - 1, 0) : place + 2] if rate not in tried), None)


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the lowest score; of those that are as good within :data:`AS_GOOD`, the smallest rate."""
    lowest = min(trial.score for trial in trials)
    return min(trial for trial in trials if trial.score <= lowest + AS_GOOD * abs(lowest))


def is_trial(place: Path) -> bool:
    """Return whether a run, by its place in the folder of a study, only tried a learning rate."""
    return place.parts[1].startswith("tune_")


def _by_seed(results: Sequence[Result]) -> tuple[Result, ...]:
    """Return one run per seed, the last of those with the same, in the seeds' order."""
    by_seed = {result.record.get("seed") or 0: result for result in results}
    return tuple(by_seed[seed] for seed in sorted(by_seed))
