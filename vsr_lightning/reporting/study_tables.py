"""The tables of a study, as markdown."""

from collections.abc import Mapping, Sequence

from vsr_lightning.reporting.agreement import over_runs
from vsr_lightning.reporting.results import Condition
from vsr_lightning.reporting.study import CONTROL, NETWORK_FREE, START, WINDOW_NETWORK, Arm, Change, Trial, best
from vsr_lightning.utils.formatting import Rows, duration, markdown, with_interval, with_spread

NAMES = {"l1": "L1", "mse": "MSE", "perceptual": "perceptual"}
IN_PERCENT = ("lite0_distance", "lite1_distance", "vgg_distance", "patch_distance", "tlp", "tof", "warping_error")


def label(condition: Condition) -> str:
    """Return what the runs were trained on, in words: ``L1 + 0.01 perceptual + adversarial``."""
    record = condition.results[0].record
    if record["model"] in NETWORK_FREE:
        return str(record["model"])
    weights = record["config"]["loss"].get("terms") or {record["loss"].partition(" + ")[0]: 1}
    terms = [
        NAMES.get(name, name) if it == 1 else f"{it:g} {NAMES.get(name, name)}" for name, it in weights.items() if it
    ]
    adversarial = ["adversarial"] if "adversarial" in record["loss"] else []
    return " + ".join([*terms, *adversarial])


def scores(arm: Arm, treatments: Sequence[str], metrics: Sequence[str], network: str = WINDOW_NETWORK) -> str:
    """Return a row per treatment with mean and standard deviation over seeds of each metric."""
    rows = []
    for treatment in treatments:
        condition = arm.runs(treatment, network)
        cells = {arm.metrics[name].title: _spread(condition, name) for name in metrics}
        rows.append({"trained on": label(condition), "n": str(len(condition.results)), **cells})
    return markdown(rows)


def changes(
    arm: Arm, treatments: Sequence[str], metrics: Sequence[str], network: str = WINDOW_NETWORK, control: str = CONTROL
) -> str:
    """Return a row per treatment: how each metric differs from the control's, with its 95 % interval.

    Better ones, by the whole interval, are bold, and worse ones in italics.
    """
    rows: Rows = []
    for treatment in treatments:
        found = {name: arm.change(treatment, name, network, control) for name in metrics}
        cells = {column(arm, name): change_cell(change, name) for name, change in found.items()}
        rows.append({f"instead of {NAMES[control]}": label(arm.runs(treatment, network)), **cells})
    return markdown(rows)


def column(arm: Arm, metric: str) -> str:
    """Return the heading of a column of changes."""
    title = arm.metrics[metric].title
    return f"{title} (%)" if metric in IN_PERCENT else title


def change_cell(change: Change, metric: str) -> str:
    """Return a change with its interval, in the unit of :func:`column`; bold is better, italics are worse."""
    found = change.percent if metric in IN_PERCENT else change.over()
    text = with_interval(*found)
    if found.low <= 0 <= found.high:
        return text
    mark = "**" if (found.mean > 0) == change.metric.higher_is_better else "*"
    return f"{mark}{text}{mark}"


def orders(arm: Arm, treatments: Sequence[str], metrics: Sequence[str], network: str = WINDOW_NETWORK) -> str:
    """Return a row per treatment: in percent, how likely another training would order it and the control the same."""
    rows = []
    for treatment in treatments:
        cells = {
            arm.metrics[name].title: f"{100 * arm.change(treatment, name, network).same_order:.0f}" for name in metrics
        }
        rows.append({f"instead of {NAMES[CONTROL]}": label(arm.runs(treatment, network)), **cells})
    return markdown(rows)


def rates(
    tuning: Mapping[tuple[str, str, str], Sequence[Trial]],
    conditions: Sequence[str],
    network: str,
    labels: Mapping[str, str],
) -> str:
    """Return a row per treatment, and per condition what each rate gave, the chosen one in bold."""
    rows = []
    for treatment, text in labels.items():
        cells = {}
        for condition in conditions:
            trials = tuning.get((condition, treatment, network), ())
            shown = [(f"{it.rate:g}: {it.score:.4g}", it == best(trials)) for it in trials]
            cells[condition.replace("_", " ")] = ", ".join(f"**{it}**" if chosen else it for it, chosen in shown)
        rows.append({"trained on": text, **cells})
    return markdown(rows)


def agreement(arm: Arm, metrics: Sequence[str], network: str = WINDOW_NETWORK) -> str:
    """Return Spearman's correlations of metrics over all trained runs of a network, with 95 % intervals."""
    conditions = [it for (name, model), it in arm.conditions.items() if model == network and name != START]
    conditions = [it for it in conditions if all(len(it.scores(name)) for name in metrics)]
    found = over_runs(conditions, arm.metrics, metrics)
    rows = []
    for row in metrics[1:]:
        cells = {}
        for name in metrics[:-1]:
            cells[arm.metrics[name].title] = _correlation(found[name, row]) if (name, row) in found else ""
        rows.append({"": arm.metrics[row].title, **cells})
    return markdown(rows)


def budget(arms: Sequence[Arm], treatments: Sequence[str], network: str = WINDOW_NETWORK) -> str:
    """Return a row per treatment, and per condition its device and the mean time of a run, its test included."""
    rows = []
    for treatment in treatments:
        cells = {}
        for arm in arms:
            if arm.has(treatment, network):
                results = arm.runs(treatment, network).results
                seconds = sum(it.record["wall_time_s"] for it in results) / len(results)
                cells[arm.name.replace("_", " ")] = f"{duration(seconds)}, {results[0].record['device']}"
        rows.append({"trained on": label(arms[0].runs(treatment, network)), **cells})
    return markdown(rows)


def _correlation(found: tuple[float, float, float]) -> str:
    return f"{found[0]:.2f} ({found[1]:.2f} to {found[2]:.2f})"


def _spread(condition: Condition, name: str) -> str:
    values = condition.scores(name)
    if not len(values):
        return "-"
    return with_spread(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float("nan"))
