"""Runs as results: which of them repeat one another, and which may be compared at all."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vsr_lightning.metrics import Metric, scored_metrics
from vsr_lightning.runs.comparable import comparable_runs, trained, training_key
from vsr_lightning.runs.frames import FRAMES_FILE, read_frames
from vsr_lightning.runs.migrate import score_names
from vsr_lightning.runs.read_record import read_runs
from vsr_lightning.utils.formatting import counted

# of what makes two trainings differ: repetitions, what the groups and the names of network and loss say already
NO_CONDITION = re.compile(
    r"seed|data\.(seed|test_videos)|trainer\.max_(epochs|time)|(model|loss)\._target_|module\.metrics.*"
)


@dataclass(frozen=True)
class Result:
    """One run: its folder and its ``run.json``."""

    path: Path
    record: dict[str, Any] = field(repr=False)

    @property
    def finished(self) -> bool:
        """Whether it has scores."""
        return self.record["status"] == "finished"

    @property
    def run(self) -> Path:
        """The folder with its weights and curves: of an evaluation, that of the run."""
        return Path(self.record.get("run") or self.path)

    @property
    def trained(self) -> bool:
        """Whether there was something to train."""
        return trained(self.record)

    @cached_property
    def frames(self) -> dict[str, np.ndarray]:
        """Its ``frames.csv`` as columns; empty if it has none, or is not finished."""
        path = self.path / FRAMES_FILE
        return read_frames(path, score_names(self.record)) if self.finished and path.exists() else {}

    def of_video(self, number: int) -> "Result":
        """Return the same run with the scores of one test video only."""
        part, rows = Result(self.path, self.record), self.frames["video"] == number
        part.__dict__["frames"] = {name: column[rows] for name, column in self.frames.items()}
        return part

    @property
    def losses(self) -> set[str]:
        """The names of the losses that it was trained on, of a sum those with a weight."""
        weights = ((self.record.get("config") or {}).get("loss") or {}).get("terms") or {self.record["loss"]: 1}
        return {name for name, weight in weights.items() if weight}

    @cached_property
    def hyperparameters(self) -> dict[str, str]:
        """Every key of its config that could make it another training, and its value."""
        config = self.record.get("config") or {}
        weights = (config.get("loss") or {}).get("terms") or {}  # 0 is a weight too, where a sweep is over it
        key = training_key(config) | {f"loss.terms.{name}": weight for name, weight in weights.items()}
        start = self.record.get("init_from") or {}
        if checksum := start.get("checksum"):  # the same weights are the same start, wherever they lie
            key["init_from"] = f"{start['loss']} ({counted(start['epochs'], 'epoch')}, {checksum[:8]})"
        return {name: str(value) for name, value in key.items() if not NO_CONDITION.fullmatch(name)}


@dataclass(frozen=True)
class Condition:
    """Runs that differ in nothing but the seed."""

    label: str  # unique within its group
    results: tuple[Result, ...]  # one per seed, in the seeds' order
    swept: tuple[str, ...] = ()  # key=value of what distinguishes it within its group beside network and loss

    def scores(self, name: str) -> np.ndarray:
        """Return ``name`` of each finished run, one per seed."""
        runs = (result.record["scores"] for result in self.results if result.finished)
        return np.array([scores[name] for scores in runs if name in scores])


@dataclass(frozen=True)
class Group:
    """Runs that may be compared, bicubic among them."""

    name: str  # a letter
    reason: str  # what sets it apart from the first group, in words; empty for the first
    results: tuple[Result, ...]

    @cached_property
    def conditions(self) -> tuple[Condition, ...]:
        """Its runs by what they repeat, in the order of the jobs; of two with the same seed the later one counts."""
        trained = [result for result in self.results if result.trained]
        keys, models = _varying(trained), {result.record["model"] for result in trained}
        by_name: dict[tuple[str, tuple[str, ...]], dict[int, Result]] = {}
        for result in self.results:
            name, seed = result.record["model"], 0
            swept: tuple[str, ...] = ()
            if result.trained:
                own, seed = result.hyperparameters, result.record.get("seed", 0)
                name = f"{name} {result.record['loss']}" if len(models) > 1 else result.record["loss"]
                swept = tuple(f"{key}={own[key]}" for key in keys if key in own)
            by_seed = by_name.setdefault((name, swept), {})
            if seed not in by_seed or result.finished or not by_seed[seed].finished:
                by_seed[seed] = result
        found = [(*key, tuple(by_seed[seed] for seed in sorted(by_seed))) for key, by_seed in by_name.items()]
        several = len({_typed_words(result).get("experiment") for result in trained}) > 1
        typed = [" ".join((name, *_as_typed(swept, keys, results, several))) for name, swept, results in found]
        return tuple(
            Condition(label if typed.count(label) == 1 else " ".join((name, *swept)), results, swept)
            for label, (name, swept, results) in zip(typed, found, strict=True)
        )

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """The metrics that at least one of its finished runs has a score of."""
        return scored_metrics(result.record for result in self.results if result.finished)

    @property
    def compared_metrics(self) -> dict[str, Metric]:
        """Those by which its conditions are compared."""
        return {name: metric for name, metric in self.metrics.items() if metric.compared}


def _typed_words(result: Result) -> dict[str, str]:
    words = (str(word).lstrip("+") for word in result.record.get("overrides", ()))
    return {word.partition("=")[0]: word for word in words}


def _as_typed(swept: Sequence[str], keys: Sequence[str], results: Sequence[Result], several: bool) -> list[str]:
    """Name what varies as the command did: ``optimizer=muon`` for its class and all that comes with it.

    Where there are ``several`` experiments, one's name stands for what varies without having been typed.
    """
    chosen = {key.split(".")[0] for key in keys if "._target_" in key}
    words = [_typed_words(result) for result in results]
    common = {key: word for key, word in words[0].items() if all(word == others.get(key) for others in words)}
    groups = {key: word for key, word in common.items() if key in chosen}
    shown = [it for it in swept if it.split(".")[0] not in groups or it.partition("=")[0] in common]
    typed = [it for it in shown if _is_in(it.partition("=")[0], common)]
    if several and typed != shown and "experiment" in common:
        return [common["experiment"], *groups.values(), *typed]
    return [*groups.values(), *shown]


def _is_in(key: str, typed: Mapping[str, str]) -> bool:
    """Return whether a key was typed, alone or in a dictionary, as ``loss.terms={l1: 1}``; a choice says no key."""
    parents = [key[:place] for place, letter in enumerate(key) if letter == "."]
    return key in typed or any("{" in typed.get(parent, "") for parent in parents)


def read_results(folders: Iterable[Path]) -> list[Result]:
    """Return the runs below the folders, each once; FileNotFoundError where a folder is missing or holds no run."""
    results: dict[Path, Result] = {}
    for folder in folders:
        runs = [(path, record) for path, record in read_runs(folder) if "model" in record]
        if not runs:
            raise FileNotFoundError(f"{folder} holds no run: give a sweep's folder, such as runs/TIME_sweep")
        results |= {path.resolve(): Result(path, record) for path, record in runs}
    return list(results.values())


def comparable(results: Sequence[Result]) -> list[Group]:
    """Return the groups of runs that may be compared, see :func:`vsr_lightning.runs.comparable.comparable_runs`."""
    found = comparable_runs([result.record for result in results])
    return [Group(it.letter, it.reason, tuple(results[place] for place in it.places)) for it in found]


def _varying(results: Sequence[Result]) -> list[str]:
    """Return the keys with more than one value: a loss's among the runs under it, others among those of a network.

    An adversarial term is of the loss. Not to average weights counts as a value, too. A start of its own for each seed
    is part of the seed.
    """
    values: dict[str, dict[str, set[str]]] = {}
    averaged = {key for result in results for key in result.hyperparameters if key.startswith("callbacks.")}
    for result in results:
        for key, value in {**dict.fromkeys(averaged, "no"), **result.hyperparameters}.items():
            kind = str(result.record["loss" if key.split(".")[0] in ("loss", "module") else "model"])
            values.setdefault(key, {}).setdefault(kind, set()).add(value)
    varying = [key for key, kinds in values.items() if any(len(kind) > 1 for kind in kinds.values())]
    return [key for key in varying if key != "init_from" or not _start_of_each_seed(results)]


def _start_of_each_seed(results: Sequence[Result]) -> bool:
    """Return whether each seed of a network went on from a start of its own, whatever else was varied."""
    starts = {it.path: it.hyperparameters.get("init_from", "") for it in results}
    kinds = {(it.record["model"], starts[it.path].rpartition(",")[0]) for it in results}  # all but the checksum
    pairs = {(it.record["model"], it.record.get("seed"), starts[it.path]) for it in results}
    one_each = len(pairs) == len({pair[:2] for pair in pairs}) == len({pair[::2] for pair in pairs})
    return one_each and len(kinds) == len({model for model, _ in kinds})
