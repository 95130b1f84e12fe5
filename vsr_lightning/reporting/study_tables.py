"""The tables of a study, as markdown."""

from collections.abc import Mapping, Sequence

from vsr_lightning.reporting.agreement import as_rows, over_runs
from vsr_lightning.reporting.results import Condition
from vsr_lightning.reporting.statistics import score_cells
from vsr_lightning.reporting.study import CONTROL, NETWORK_FREE, WINDOW_NETWORK, Arm, Change, Trial, best
from vsr_lightning.utils.formatting import Rows, duration, markdown, with_interval

NAMES = {"l1": "L1", "mse": "MSE", "perceptual": "perceptual"}
IN_PERCENT = ("lite0_distance", "lite1_distance", "vgg_distance", "patch_distance", "tlp", "tof", "warping_error")


def label(condition: Condition) -> str:
    """Return what the runs were trained on, in words: ``L1 + 0.01 perceptual + adversarial``.

    A treatment with a rate in its name, ``l1_0.003``, is told with it.
    """
    record = condition.results[0].record
    if record["model"] in NETWORK_FREE:
        return str(record["model"])
    weights = record["config"]["loss"].get("terms") or {record["loss"].partition(" + ")[0]: 1}
    terms = [
        NAMES.get(name, name) if it == 1 else f"{it:g} {NAMES.get(name, name)}" for name, it in weights.items() if it
    ]
    adversarial = ["adversarial"] if "adversarial" in record["loss"] else []
    text = " + ".join([*terms, *adversarial])
    return f"{text} at {record['config']['optimizer']['lr']:g}" if "_0." in condition.label else text


def scores(arm: Arm, treatments: Sequence[str], metrics: Sequence[str], network: str = WINDOW_NETWORK) -> str:
    """Return a row per treatment with mean and standard deviation over seeds of each metric."""
    rows = []
    for treatment in treatments:
        condition = arm.runs(treatment, network)
        cells = score_cells(condition, {name: arm.metrics[name] for name in metrics})
        rows.append({"trained on": label(condition), "n": str(len(condition.results)), **cells})
    return markdown(rows)


def changes(
    arm: Arm,
    treatments: Sequence[str],
    metrics: Sequence[str],
    network: str = WINDOW_NETWORK,
    control: str = CONTROL,
    unmarked: Sequence[str] = (),
) -> str:
    """Return a row per treatment: how each metric differs from the control's, with its 95 % interval.

    Better ones, by the whole interval, are bold, and worse ones in italics, save in ``unmarked`` metrics.
    """
    rows: Rows = []
    for treatment in treatments:
        cells = {}
        for name in metrics:
            change = arm.change(treatment, name, network, control)
            cells[column(arm, name)] = change_cell(change, name, marked=name not in unmarked)
        rows.append({f"instead of {NAMES[control]}": label(arm.runs(treatment, network)), **cells})
    return markdown(rows)


def variants(
    arm: Arm, treatments: Sequence[str], metrics: Sequence[str], network: str = WINDOW_NETWORK, control: str = CONTROL
) -> str:
    """Return a row per treatment as :func:`changes` does, with what its perceptual loss looks through, and how."""
    rows: Rows = []
    for treatment in treatments:
        condition = arm.runs(treatment, network)
        record = condition.results[0].record
        own = record["config"]["loss"]["losses"]["perceptual"]
        layers = own["layers"] if isinstance(own["layers"], str) else ", ".join(own["layers"])
        about = {
            f"instead of {NAMES[control]}": label(condition),
            "features": record["features"]["name"],
            "layers": layers,
            "difference": own["difference"],
            "rate": f"{record['config']['optimizer']['lr']:g}",
            "n": str(len(condition.results)),
        }
        cells = {column(arm, it): change_cell(arm.change(treatment, it, network, control), it) for it in metrics}
        rows.append(about | cells)
    return markdown(rows)


def of_clips(arm: Arm, treatments: Sequence[str], metrics: Sequence[str]) -> str:
    """Return a row per treatment and test clip: how each metric differs from the control's, with its 95 % interval."""
    rows: Rows = []
    for treatment in treatments:
        for number, clip in arm.clips.items():
            of_one = arm.of_video(number)
            cells = {column(arm, it): change_cell(of_one.change(treatment, it), it) for it in metrics}
            rows.append({f"instead of {NAMES[CONTROL]}": label(arm.runs(treatment)), "clip": clip, **cells})
    return markdown(rows)


def column(arm: Arm, metric: str) -> str:
    """Return the heading of a column of changes."""
    title = arm.metrics[metric].title
    return f"{title} (%)" if metric in IN_PERCENT else title


def change_cell(change: Change, metric: str, marked: bool = True) -> str:
    """Return a change with its interval, in the unit of :func:`column`; bold is better, italics are worse."""
    found = change.percent if metric in IN_PERCENT else change.over()
    text = with_interval(*found)
    if not (marked and found.low * found.high > 0):
        return text
    mark = "**" if (found.mean > 0) == change.metric.higher_is_better else "*"
    return f"{mark}{text}{mark}"


def orders(arm: Arm, treatments: Sequence[str], metrics: Sequence[str], network: str = WINDOW_NETWORK) -> str:
    """Return a row per treatment: in percent, how likely another training would order it and the control the same."""
    rows = []
    for treatment in treatments:
        chances = {name: round(100 * arm.change(treatment, name, network).same_order) for name in metrics}
        cells = {arm.metrics[name].title: "> 99" if it > 99 else str(it) for name, it in chances.items()}
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
    """Return Spearman's correlations of metrics over all runs of a network that went on from a start."""
    conditions = [it for (_, model), it in arm.conditions.items() if model == network]
    went_on = [it for it in conditions if it.results[0].record.get("init_from")]
    return markdown(as_rows(over_runs(went_on, arm.metrics, metrics), arm.metrics, metrics))


def budget(arms: Sequence[Arm], treatments: Sequence[str], network: str = WINDOW_NETWORK) -> str:
    """Return a row per treatment: of each condition the mean time of a run, its test included, on each device."""
    rows = []
    for treatment in (it for it in treatments if any(arm.has(it, network) for arm in arms)):
        conditions = {
            arm.name.replace("_", " "): arm.runs(treatment, network) for arm in arms if arm.has(treatment, network)
        }
        cells = {name: "; ".join(_times(condition)) for name, condition in conditions.items()}
        rows.append({"trained on": label(next(iter(conditions.values()))), **cells})
    return markdown(rows)


def _times(condition: Condition) -> list[str]:
    """Return the mean time on each device, and of how many runs."""
    by_device: dict[str, list[float]] = {}
    for result in condition.results:
        by_device.setdefault(result.record["device"], []).append(result.record["wall_time_s"])
    return [f"{duration(sum(it) / len(it))} ({device}, n = {len(it)})" for device, it in by_device.items()]
