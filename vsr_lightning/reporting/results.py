"""Runs as results: which of them repeat one another, and which may be compared at all."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vsr_lightning.metrics import Metric, scored_metrics
from vsr_lightning.runs.comparable import scored_frames, scored_part
from vsr_lightning.runs.frames import FRAMES_FILE, read_frames
from vsr_lightning.runs.record import leaves, read_runs

BASELINE = "bicubic"
# what makes no other training, or is told by the model's and the loss's name
NO_CHOICE = re.compile(
    r"seed|resume|checkpoint_every_n_steps|data\.(seed|root|download|cache|num_workers)|features|ckpt_path|output_dir|made_from|full_traceback|experiment|debug"
    r"|(callbacks|logger|hydra)(\..*)?|trainer\.(accelerator|devices|num_nodes|strategy|plugins|max_epochs|max_time|enable_.*)"
    r"|(model|loss)\._target_|loss(\.losses\.\w+)?\.features"
)


@dataclass(frozen=True)
class Result:
    """One run.

    Attributes:
        path: its folder.
        record: its ``run.json``.
    """

    path: Path
    record: dict[str, Any] = field(repr=False)

    @property
    def finished(self) -> bool:
        """Whether it has scores."""
        return self.record["status"] == "finished"

    @property
    def trained(self) -> bool:
        """Whether there was something to train."""
        return bool(self.record["model"] != BASELINE)

    @cached_property
    def frames(self) -> dict[str, np.ndarray]:
        """Its ``frames.csv`` as columns; empty if it has none, or is not finished."""
        path = self.path / FRAMES_FILE
        return read_frames(path) if self.finished and path.exists() else {}

    @cached_property
    def comparison_key(self) -> dict[str, str]:
        """What must be equal for two runs to be compared, in words; a run without training has fewer."""
        data, config = self.record.get("data") or {}, self.record.get("config") or {}
        git, features = self.record.get("git") or {}, self.record.get("features") or {}
        made_of = {
            "data": _named(str(data.get("name")), str(data.get("checksum"))[:8]),
            "test videos": str(data.get("test_videos")),
            "scored frames": "{} to {}".format(*scored_frames(data)),
            "blur of the test": data.get("test_blur", "one a window"),
            "degradation": _degradation(data.get("degradation") or {}),
            "PSNR and SSIM of": scored_part(self.record),
            "metric features": str((self.record.get("metric_features") or {}).get("checksum"))[:12],
        }
        if self.frames:
            made_of["test windows"] = str(len(self.frames["video"]))  # fewer with trainer.limit_test_batches
        if self.trained:
            made_of["procedure"] = (config.get("module") or {}).get("_target_", "SuperResolution").rsplit(".", 1)[-1]
            made_of["training videos"] = str(data.get("train_videos"))
            planned = (config.get("trainer") or {}).get("max_epochs")
            made_of["epochs"] = str(self.record.get("epochs") or planned)  # a run may have stopped earlier
            made_of["commit"] = str(git.get("commit"))[:8] + (" with changes" if git.get("dirty") else "")
            if features:
                made_of["features"] = _named(features["name"], features["checksum"][:8])
        return made_of

    @cached_property
    def hyperparameters(self) -> dict[str, str]:
        """Every key of its config that could make it another training, and its value."""
        return {
            key: str(value) for key, value in leaves(self.record.get("config") or {}) if not NO_CHOICE.fullmatch(key)
        }

    def agrees(self, comparison_key: dict[str, str]) -> bool:
        """Whether every facet that both have is the same."""
        mine = self.comparison_key
        return all(mine[name] == value for name, value in comparison_key.items() if name in mine)


@dataclass(frozen=True)
class Condition:
    """Runs that differ in nothing but the seed.

    Attributes:
        label: what tells it from the other conditions of its group.
        results: one a seed, in the seeds' order.
        varied: ``key=value`` of what tells it from them beside network and loss.
    """

    label: str
    results: tuple[Result, ...]
    swept: tuple[str, ...] = ()

    def scores(self, name: str) -> np.ndarray:
        """Return ``name`` of each finished run, one a seed."""
        runs = (result.record["scores"] for result in self.results if result.finished)
        return np.array([scores[name] for scores in runs if name in scores])


@dataclass(frozen=True)
class Group:
    """Runs that may be compared.

    Attributes:
        name: a letter.
        reason: what sets it apart from the first group, in words; empty for the first.
        results: its runs, bicubic among them.
    """

    name: str
    reason: str
    results: tuple[Result, ...]

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Its runs by what they repeat, in the order of the jobs; of two with the same seed the later one counts."""
        keys = _varying([result for result in self.results if result.trained])
        models = {result.record["model"] for result in self.results if result.trained}
        by_name: dict[tuple[str, tuple[str, ...]], dict[int, Result]] = {}
        for result in self.results:
            name = result.record["model"]
            swept: tuple[str, ...] = ()
            if result.trained:
                name = f"{name} {result.record['loss']}" if len(models) > 1 else result.record["loss"]
                swept = tuple(f"{key}={result.hyperparameters[key]}" for key in keys if key in result.hyperparameters)
            by_seed = by_name.setdefault((name, swept), {})
            seed = result.record.get("seed", 0) if result.trained else 0
            if seed not in by_seed or result.finished or not by_seed[seed].finished:
                by_seed[seed] = result
        return tuple(
            Condition(" ".join((name, *swept)), tuple(by_seed[seed] for seed in sorted(by_seed)), swept)
            for (name, swept), by_seed in by_name.items()
        )

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The metrics that at least one of its finished runs has a score of."""
        return scored_metrics(result.record for result in self.results if result.finished)

    @cached_property
    def compared_metrics(self) -> dict[str, Metric]:
        """Those by which its conditions are compared."""
        return {name: metric for name, metric in self.metrics.items() if metric.compared}

    def scored(self, name: str) -> list[Condition]:
        """Return the conditions of which at least one run has the score."""
        return [condition for condition in self.conditions if len(condition.scores(name))]


def read_results(folders: Iterable[Path]) -> list[Result]:
    """Return the runs below the folders, each once.

    Raises:
        FileNotFoundError: a folder is missing or holds no run.
    """
    results: dict[Path, Result] = {}
    for folder in folders:
        runs = [(path, record) for path, record in read_runs(folder) if "model" in record]
        if not runs:
            raise FileNotFoundError(f"{folder} holds no run: give a sweep's folder, such as runs/TIME_sweep")
        results |= {path.resolve(): Result(path, record) for path, record in runs}
    return list(results.values())


def comparable(results: Sequence[Result]) -> list[Group]:
    """Group runs that agree in data, features, commit and epochs; those without one of these go with all that agree."""
    known = [result for result in results if result.record.get("data")]
    kinds: list[dict[str, str]] = []
    for result in sorted(
        known, key=lambda result: -len(result.comparison_key)
    ):  # the most told first: others then join
        if not any(result.agrees(comparison_key) for comparison_key in kinds):
            kinds.append(result.comparison_key)
    order = {
        id(comparison_key): min(i for i, result in enumerate(known) if result.agrees(comparison_key))
        for comparison_key in kinds
    }
    kinds.sort(key=lambda comparison_key: order[id(comparison_key)])
    return [
        Group(
            chr(ord("A") + i),
            _differences(comparison_key, kinds[0]),
            tuple(r for r in known if r.agrees(comparison_key)),
        )
        for i, comparison_key in enumerate(kinds)
    ]


def _differences(comparison_key: dict[str, str], first: dict[str, str]) -> str:
    return "; ".join(
        f"{name} {value} instead of {first[name]}"
        for name, value in comparison_key.items()
        if name in first and value != first[name]
    )


def _named(name: str, checksum: str) -> str:
    return name if checksum in name else f"{name} ({checksum})"


def _varying(results: Sequence[Result]) -> list[str]:
    """Return the keys with more than one value: a loss's among the runs under it, others among those of a network."""
    values: dict[str, dict[str, set[str]]] = {}
    for result in results:
        for key, value in result.hyperparameters.items():
            kind = str(result.record["loss" if key.split(".")[0] == "loss" else "model"])
            values.setdefault(key, {}).setdefault(kind, set()).add(value)
    return [key for key, kinds in values.items() if any(len(kind) > 1 for kind in kinds.values())]


def _degradation(degradation: dict[str, Any]) -> str:
    low, high = degradation.get("sigma", (None, None))
    return (
        f"x{degradation.get('scale')} {degradation.get('interpolation')}, "
        f"{degradation.get('kernel_size')}x{degradation.get('kernel_size')} blur of {low} to {high}"
    )
