"""What a report says about a group of comparable runs: tables and figures, each with the sentence that explains it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from matplotlib.figure import Figure

from vsr_lightning.metrics import METRICS
from vsr_lightning.reporting.figures import (
    comparison_figure,
    curves_figure,
    perception_distortion_figure,
    perceptual_metric,
)
from vsr_lightning.reporting.notes import metric_notes
from vsr_lightning.reporting.predictions import GroupPredictions
from vsr_lightning.reporting.results import Group, Result
from vsr_lightning.reporting.statistics import mean_and_spread, paired_difference, pairs
from vsr_lightning.runs.comparable import comparison_key
from vsr_lightning.utils.formatting import duration, with_interval, with_spread

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it.

    Attributes:
        name: of its files, unique within a report.
        title: the heading.
        text: paragraphs.
        rows: a table, a row a dictionary of equal keys.
        numbers: the same as plain numbers for the csv, where the shown ones are rounded or joined.
        figure: a picture, and ``alt``, what it shows in words.
    """

    name: str
    title: str
    text: Sequence[str] = ()
    rows: Rows = field(default_factory=list)
    numbers: Rows = field(default_factory=list)
    figure: Figure | None = None
    alt: str = ""


def group_sections(group: Group, predictions: GroupPredictions | None, several: bool) -> list[Section]:
    """Return a group's sections, the headings numbered by its letter where there are several."""
    suffix, of = (f"_{group.name.lower()}", f", group {group.name}") if several else ("", "")
    sections = [table_1(group, suffix, of), differences(group, suffix, of)]
    if figure := curves_figure(group):
        sections.append(
            Section(
                f"curves{suffix}",
                f"Losses over the epochs{of} (the paper's Fig. 2 and 3)",
                ["A thin line a seed, the thick one their mean. The scales are the losses' own: compare shapes."],
                figure=figure,
                alt="training and test loss of each condition over the epochs",
            )
        )
    if predictions and predictions.strip:
        sections.append(
            Section(
                f"strip{suffix}",
                f"What they look like{of} (the paper's Fig. 4)",
                ["The middle frame of the first test videos; of each condition its lowest seed."],
                figure=comparison_figure(predictions.strip),
                alt=f"rows: test videos; columns: {', '.join(predictions.strip)}",
            )
        )
    score = perceptual_metric(group.conditions)
    title = METRICS[score].title
    if group.scored("psnr"):
        sections.append(
            Section(
                f"plane{suffix}",
                f"Pixels against looks{of}",
                [
                    f"A point a run. {title} is a perceptual score that no run here was trained on; better is "
                    "up and to the right. A line joins what differs in one weight of a sum of losses only."
                ],
                figure=perception_distortion_figure(group, score),
                alt=f"PSNR against {title}, a point a run",
            )
        )
    if predictions and predictions.losses:
        rows = [
            {"condition": label, **{name: f"{value:.4g}" for name, value in values.items()}}
            for label, values in predictions.losses.items()
        ]
        sections.append(
            Section(
                f"losses{suffix}",
                f"Every model under every loss{of}",
                [
                    "Mean over {} frames, {}x{} pixels of each, ".format(*predictions.frames)
                    + f"of {predictions.videos} test videos and over seeds, pictures in [0, 1]; lower is better."
                ],
                rows,
            )
        )
    if predictions and predictions.missing:
        sections.append(Section(f"missing{suffix}", f"Left out{of}", predictions.missing))
    return sections


def table_1(group: Group, suffix: str, of: str) -> Section:
    """Mean and spread over seeds of every score."""
    rows, numbers = [], []
    for condition in group.conditions:
        n = len(condition.scores("psnr"))
        row = {"condition": condition.label, "n": f"{n} of {len(condition.results)}"}
        number = {"condition": condition.label, "n": str(n)}
        for name, metric in group.metrics.items():
            mean, sd = mean_and_spread(condition.scores(name))
            row |= {metric.title: with_spread(mean, sd)} if metric.compared else {}
            number |= {name: f"{mean:.7g}", f"{name}_sd": f"{sd:.7g}"}
        rows.append(row)
        numbers.append(number)
    text = [
        "Mean and standard deviation over seeds; n counts the finished runs. Each run's score is the mean over all "
        "frames of its test videos.",
        *metric_notes([(condition.label, run.record) for condition in group.conditions for run in condition.results]),
    ]
    if group.reason:
        text.insert(0, f"Apart from group A because of: {group.reason}.")
    return Section(f"table_1{suffix}", f"Table 1{of}", text, rows, numbers)


def differences(group: Group, suffix: str, of: str) -> Section:
    """Paired differences between losses and between networks, with intervals."""
    rows, numbers = [], []
    metrics = group.compared_metrics
    for one, two in pairs(group):
        found = {name: paired_difference(one, two, name) for name in metrics}
        if not (some := next(filter(None, found.values()), None)):
            continue
        label = f"{two.label} minus {one.label}"
        rest = {"videos": str(some.videos), "seeds": str(some.seeds)}
        shown = {metrics[name].title: with_interval(*value[:3]) if value else "-" for name, value in found.items()}
        rows.append({"difference": label, **shown, **rest})
        for name, value in found.items():
            if value:
                values = {key: f"{number:.7g}" for key, number in value._asdict().items()}
                numbers.append({"difference": label, "score": metrics[name].title, **values})
    text = (
        "Mean over test videos of the difference on the same video, averaged over the seeds that both have, with a "
        "95 % bootstrap interval over videos. It tells what other test videos would change; for other trainings see "
        "the spread over seeds."
        if rows
        else "There are no two losses or networks with scores from the same seed to compare."
    )
    return Section(f"differences{suffix}", f"Paired differences{of}", [text], rows, numbers)


def unfinished(results: Sequence[Result]) -> Section | None:
    """Say which runs have no scores, and why."""
    left = [result for result in results if not result.finished]
    if not left:
        return None
    text = f"{len(left)} of {len(results)} runs have no scores; the tables count the others."
    why = {"running": "not at its end, or killed before it could say why"}
    rows = [
        {
            "run": result.path.name,
            "status": result.record["status"],
            "why": result.record.get("error") or why.get(result.record["status"], ""),
        }
        for result in left
    ]
    return Section("unfinished", "Runs without scores", [text], rows)


def provenance(results: Sequence[Result], groups: Sequence[Group]) -> Section:
    """Say what each run was made from."""
    rows = []
    for result in results:
        record, key = result.record, comparison_key(result.record)
        versions = record.get("versions") or {}
        rows.append(
            {
                "run": result.path.name,
                "group": " ".join(group.name for group in groups if result in group.results),
                "model": record["model"],
                "loss": _with_weights(record),
                "seed": str(record.get("seed", "")),
                "status": record["status"],
                "epochs": str(record.get("epochs", "")),
                "data": key["data"],
                "videos": f"{key.get('training videos', '0')} training, {key['test videos']} test",
                "degradation": key["degradation"],
                "features": key.get("features", ""),
                "commit": key.get("commit") or str((record.get("git") or {}).get("commit"))[:8],
                "device": f"{record.get('device', '')}, {record.get('precision', '')}",
                "torch": str(versions.get("torch", "")),
                "time": duration(record.get("wall_time_s", 0)),
                "overrides": " ".join(record.get("overrides", ())),
            }
        )
    return Section("made_from", "What each run was made from", (), rows)


def _with_weights(record: dict[str, Any]) -> str:
    """Return a loss by its name, a sum with the weights of its terms."""
    terms = ((record.get("config") or {}).get("loss") or {}).get("terms") or {}
    weights = ", ".join(f"{name} {weight:g}" for name, weight in terms.items() if weight)
    return f"{record['loss']} ({weights})" if weights else str(record["loss"])
