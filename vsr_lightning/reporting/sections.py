"""What a report says about a group of comparable runs: tables and figures, each with the sentence that explains it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from matplotlib.figure import Figure

from vsr_lightning.reporting import figures
from vsr_lightning.reporting.agreement import as_rows, over_runs, over_videos
from vsr_lightning.reporting.notes import metric_notes
from vsr_lightning.reporting.predictions import GroupPredictions
from vsr_lightning.reporting.results import Group, Result
from vsr_lightning.reporting.statistics import difference_cell, mean_and_spread, paired_difference, pairs, score_cells
from vsr_lightning.runs.comparable import commit_name, comparison_key
from vsr_lightning.utils.formatting import Rows, duration


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it: paragraphs, a table, a figure."""

    name: str  # of its files, unique within a report
    title: str
    text: Sequence[str] = ()
    rows: Rows = field(default_factory=list)  # a key that a row lacks is an empty cell
    numbers: Rows = field(default_factory=list)  # the same table with all digits, for the csv
    figure: Figure | None = None
    alt: str = ""  # what the figure shows, in words

    @property
    def columns(self) -> list[str]:
        """The titles of the table's columns."""
        return list(dict.fromkeys(title for row in self.rows for title in row))


def group_sections(
    group: Group, predictions: GroupPredictions, people: Sequence[Section], several: bool
) -> list[Section]:
    """Return a group's sections, those on ``people`` among them.

    Their names and headings are marked with the group's letter where there are several groups.
    """
    found = [
        table_1(group),
        differences(group),
        curves(group),
        comparison(predictions),
        *people,
        perception_distortion(group),
        *agreement(group),
        losses(predictions),
        Section("missing", "Left out", predictions.missing) if predictions.missing else None,
    ]
    mark, of = (f"_{group.name.lower()}", f", group {group.name}") if several else ("", "")
    return [replace(it, name=f"{it.name}{mark}", title=f"{it.title}{of}") for it in found if it]


def table_1(group: Group) -> Section:
    """Mean and spread over seeds of every score."""
    rows, numbers = [], []
    for condition in group.conditions:
        n = len(condition.scores("psnr"))
        row = {"condition": condition.label, "n": f"{n} of {len(condition.results)}"}
        number = {"condition": condition.label, "n": str(n)}
        for name in group.metrics:
            mean, sd = mean_and_spread(condition.scores(name))
            number |= {name: f"{mean:.7g}", f"{name}_sd": f"{sd:.7g}"}
        rows.append(row | score_cells(condition, group.compared_metrics))
        numbers.append(number)
    text = [
        "Mean and standard deviation over seeds; n counts the finished runs. The score of a run is the mean over all "
        "frames of its test videos.",
        *metric_notes([(condition.label, run.record) for condition in group.conditions for run in condition.results]),
    ]
    if group.reason:
        text.insert(0, f"Apart from group A because of: {group.reason}.")
    return Section("table_1", "Table 1", text, rows, numbers)


def differences(group: Group) -> Section:
    """Paired differences between losses and between networks, with intervals."""
    rows, numbers = [], []
    for one, two in pairs(group):
        row = {"difference": f"{two.label} minus {one.label}"}
        videos_and_seeds: dict[str, str] = {}
        for name, metric in group.compared_metrics.items():
            found = paired_difference(one, two, name)
            row[metric.title] = difference_cell(found)
            if found:
                videos_and_seeds = {"videos": str(found.videos), "seeds": str(found.seeds)}
                values = {key: f"{number:.7g}" for key, number in found._asdict().items()}
                numbers.append({"difference": row["difference"], "score": metric.title, **values})
        if videos_and_seeds:
            rows.append(row | videos_and_seeds)
    text = (
        "Difference of the second minus the first on the same test video, from the same seed: mean over videos and "
        "seeds, with a 95 % interval that covers both, other test videos and other trainings; of one seed it is over "
        "videos only. Of fewer than 20 videos, quarters of each count as videos, and the interval then covers "
        "other frames of the same clips. The csv has the probability that another training would order the two the "
        "same (same_order)."
        if rows
        else "There are no two losses or networks with scores from the same seed, of two videos or more, to compare."
    )
    return Section("differences", "Paired differences", [text], rows, numbers)


def curves(group: Group) -> Section | None:
    """The paper's Fig. 2 and 3."""
    figure = figures.curves_figure(group)
    text = "One thin line per seed; the thick line is their mean. Each loss has a scale of its own: compare shapes."
    alt = "training and test loss of each condition over the epochs"
    title = "Losses over the epochs (the paper's Fig. 2 and 3)"
    return Section("curves", title, [text], figure=figure, alt=alt) if figure else None


def comparison(predictions: GroupPredictions) -> Section | None:
    """The paper's Fig. 4."""
    if not predictions.pictures:
        return None
    text = "The middle frame of the first test videos, one row per video. Of each condition the lowest seed is shown."
    alt = f"rows: test videos; columns: {', '.join(predictions.pictures)}"
    figure = figures.comparison_figure(predictions.pictures)
    return Section("comparison", "Qualitative comparison (the paper's Fig. 4)", [text], figure=figure, alt=alt)


def perception_distortion(group: Group) -> Section | None:
    """PSNR against a perceptual metric."""
    score = figures.perceptual_metric(group.conditions)
    if score not in group.metrics:
        return None
    title = group.metrics[score].title
    text = (
        f"One point per run, better towards the upper right. {title} is a perceptual metric that no run here was "
        "trained on. A line joins the means of runs that differ only in one weight of a sum of losses."
    )
    alt, figure = f"PSNR against {title}, one point per run", figures.perception_distortion_figure(group, score)
    return Section("perception_distortion", "Perception-distortion plane", [text], figure=figure, alt=alt)


def agreement(group: Group) -> list[Section]:
    """Rank correlations of the metrics, over runs and over videos."""
    names = [name for name, metric in group.compared_metrics.items() if _everywhere(group, name)]
    of_videos = [name for name in names if group.metrics[name].sees != "set"]  # a set's has no score of one video
    about_runs = "runs, with a 95 % bootstrap interval over conditions and seeds: 1 is the same order of all runs"
    about_videos = "test videos, the mean over runs, with a 95 % bootstrap interval over videos: 1 is the same order"
    ways = [
        ("runs", names, over_runs(group.conditions, group.metrics, names), about_runs),
        ("videos", of_videos, over_videos(group, of_videos), about_videos),
    ]
    sections = []
    for over, names, found, what in ways:
        rows = as_rows(found, group.metrics, names)
        numbers = [
            {"one": one, "other": other} | {key: f"{value:.7g}" for key, value in it._asdict().items()}
            for (one, other), it in found.items()
        ]
        text = f"Spearman's correlation of each two metrics, better being higher in all, over {what}."
        if rows:
            sections.append(Section(f"agreement_{over}", f"Do the metrics agree over {over}?", [text], rows, numbers))
    return sections


def _everywhere(group: Group, name: str) -> bool:
    trained = [result for result in group.results if result.trained and result.finished]
    return all(name in result.record["scores"] and name in result.frames for result in trained)


def losses(predictions: GroupPredictions) -> Section | None:
    """The value of each condition's predictions under each loss."""
    shown = {label: {name: f"{it:.4g}" for name, it in own.items()} for label, own in predictions.losses.items()}
    rows = [{"condition": label} | cells for label, cells in shown.items()]
    text = "Mean over {} frames of {}x{} pixels, ".format(*predictions.frames)
    text += f"from {predictions.videos} test videos, and over seeds; pixels in [0, 1]. Lower is better."
    return Section("losses", "Every network under every loss", [text], rows) if rows else None


def unfinished(results: Sequence[Result]) -> Section | None:
    """The runs without scores, and why they have none."""
    unknown = "still running, or killed before it could write why"
    records = [(it.path.name, it.record) for it in results if not it.finished]
    rows = [{"run": name, "status": it["status"], "why": it.get("error") or unknown} for name, it in records]
    text = f"{len(rows)} of {len(results)} runs have no scores; the tables count the others."
    return Section("unfinished", "Runs without scores", [text], rows) if rows else None


def provenance(results: Sequence[Result], groups: Sequence[Group]) -> Section:
    """What each run was made from."""
    rows = [
        {
            "run": result.path.name,
            "group": " ".join(group.name for group in groups if result in group.results),
            "model": result.record["model"],
            "loss": _with_weights(result.record),
            "seed": str(result.record.get("seed", "")),
            "status": result.record["status"],
            **(comparison_key(result.record) if result.record.get("data") else {}),  # a refused run got no further
            "resumed at": " ".join(commit_name(part) for part in result.record.get("resumed", ())),
            "commit": commit_name(result.record),
            "device": f"{result.record.get('device', '')}, {result.record.get('precision', '')}",
            "torch": str((result.record.get("versions") or {}).get("torch", "")),
            "time": duration(result.record.get("wall_time_s", 0)),
            "overrides": " ".join(result.record.get("overrides", ())),
        }
        for result in results
    ]
    return Section("provenance", "What each run was made from", (), rows)


def _with_weights(record: dict[str, Any]) -> str:
    terms = ((record.get("config") or {}).get("loss") or {}).get("terms") or {}
    weights = ", ".join(f"{name} {weight:g}" for name, weight in terms.items() if weight)
    return f"{record['loss']} ({weights})" if weights else str(record["loss"])
