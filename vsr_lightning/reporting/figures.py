"""The figures of a report, as matplotlib figures that nobody has to close."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from vsr_lightning.reporting.curves import read_curves
from vsr_lightning.reporting.results import Condition, Group
from vsr_lightning.utils.formatting import counted

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito: seen by all
MARKERS = "osDv^P"


def curves_figure(group: Group) -> Figure | None:
    """Paper's Fig. 2 and 3: each loss over the epochs, one thin line per seed; None if no run has curves."""
    tags = ("train/loss", "val/loss")
    read = {
        condition.label: [read_curves(result.run, tags) for result in condition.results]
        for condition in group.conditions
        if condition.results[0].trained
    }
    read = {label: [run for run in runs if run] for label, runs in read.items() if any(runs)}
    if not read:
        return None
    config = group.results[0].record.get("config") or {}
    held_out = "validation" if (config.get("data") or {}).get("val_videos") else "test"
    figure = Figure(figsize=(4.2 * len(read), 3.2), layout="constrained")
    for axes, (label, runs) in zip(np.atleast_1d(figure.subplots(1, len(read))), read.items(), strict=True):
        for tag, name, color, style in zip(tags, ("training", held_out), COLORS, ("-", "--"), strict=False):
            seeds = [run[tag] for run in runs if tag in run]
            for epochs, values in seeds:
                axes.plot(epochs, values, style, color=color, linewidth=0.8, alpha=0.35)
            if seeds:
                by_epoch = [dict(zip(*seed, strict=True)) for seed in seeds]
                epochs = sorted(set.intersection(*(set(known) for known, _ in seeds)))  # that all have
                mean = [np.mean([seed[epoch] for seed in by_epoch]) for epoch in epochs]
                axes.plot(epochs, mean, style, color=color, marker=".", label=name)
        axes.set_title(_lines(label, 44), fontsize=10)
        axes.set(xlabel="epoch", ylabel=f"loss, mean of {counted(len(runs), 'seed')}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


def comparison_figure(pictures: dict[str, Tensor]) -> Figure:
    """Paper's Fig. 4: one row per test video, one column per kind; images (B, 1 or 3, H, W) in [0, 1]."""
    rows = len(next(iter(pictures.values())))
    figure = Figure(figsize=(1.6 * len(pictures), 1.6 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, len(pictures), squeeze=False)
    for column, (name, images) in enumerate(pictures.items()):
        axes[0, column].set_title(_lines(name, 17), fontsize=9)
        for row, image in enumerate(images):
            pixels = image.movedim(0, -1).squeeze(-1).numpy()
            axes[row, column].imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes[row, column].set_axis_off()
    return figure


def perception_distortion_figure(group: Group, score: str) -> Figure:
    """PSNR against a perceptual score (Blau and Michaeli 2018): one point per run, better towards the upper right.

    A line joins the means of runs that differ in the weight of one term of a sum of losses only.
    """
    figure = Figure(figsize=(5.5, 4), layout="constrained")
    axes = figure.subplots()
    conditions = [it for it in group.conditions if len(it.scores("psnr")) and len(it.scores(score))]
    models = list(dict.fromkeys(condition.results[0].record["model"] for condition in conditions))
    names = [condition.label.removeprefix(f"{condition.results[0].record['model']} ") for condition in conditions]
    kinds = list(dict.fromkeys(names))  # what was trained on has a color, each network a marker
    for condition, name in zip(conditions, names, strict=True):
        first = condition.results[0]
        marker = MARKERS[models.index(first.record["model"]) % len(MARKERS)]
        color = COLORS[kinds.index(name) % len(COLORS)]
        style = {"color": color, "marker": marker} if first.trained else {"color": "black", "marker": "*", "s": 120}
        label = _lines(condition.label, 36)
        axes.scatter(condition.scores("psnr"), condition.scores(score), label=label, alpha=0.8, **style)
    for curve in _over_a_weight(conditions):
        points = [[condition.scores(name).mean() for condition in curve] for name in ("psnr", score)]
        axes.plot(*points, color="gray", linewidth=1, zorder=0)
    metric = group.metrics[score]
    if not metric.higher_is_better:
        axes.invert_yaxis()
    axes.set(xlabel="PSNR (dB): fewer wrong pixels to the right", ylabel=f"{metric.title}: better looking upwards")
    axes.margins(0.15)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _lines(label: str, width: int) -> str:
    """Break a label into lines of at most ``width`` characters, words too long for one as well."""
    return fill(label, width, break_on_hyphens=False)


def perceptual_metric(conditions: Sequence[Condition]) -> str:
    """Return the score to judge looks by: LPIPS where all have it and none was trained on it, else HaarPSI."""
    runs = [result for condition in conditions for result in condition.results if result.finished]
    usable = runs and all("lpips" in run.record["scores"] and "lpips" not in run.losses for run in runs)
    return "lpips" if usable else "haarpsi"


def _over_a_weight(conditions: Sequence[Condition]) -> list[list[Condition]]:
    """Return the conditions that differ in one loss.terms weight only, in its order."""
    curves: dict[tuple[str, ...], list[tuple[float, Condition]]] = {}
    for condition in conditions:
        parts = [part.partition("=") for part in condition.swept]
        weights = [(key, float(value)) for key, _, value in parts if key.startswith("loss.terms.")]
        if len(weights) == 1:
            ((key, weight),) = weights
            rest = (part for part in condition.swept if not part.startswith(f"{key}="))
            curves.setdefault((condition.results[0].record["model"], key, *rest), []).append((weight, condition))
    several = [curve for curve in curves.values() if len(curve) > 1]
    return [[condition for _, condition in sorted(curve, key=lambda place: place[0])] for curve in several]
