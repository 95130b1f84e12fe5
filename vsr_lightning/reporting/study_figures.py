"""The figures of a study."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from torch import Tensor

from vsr_lightning.images import references
from vsr_lightning.reporting.figures import COLORS
from vsr_lightning.reporting.intervals import Interval
from vsr_lightning.reporting.predictions import load_test_batch, predict
from vsr_lightning.reporting.study import CONTROL, Arm
from vsr_lightning.reporting.study_tables import label

FAR = 3.0  # times as far as the next one: such a point is told in words, or the others could not be told apart


def plane(
    arms: Sequence[Arm], titles: Sequence[str], metric: str, curve: Sequence[str], others: Sequence[str]
) -> Figure:
    """PSNR against an unpaired metric, a panel per condition (Blau and Michaeli 2018): better up and to the right.

    Each point is a mean with its 95 % intervals over seeds and videos, relative to the control, pair by pair; the line
    joins the treatments of ``curve``, in which the weight of the perceptual loss rises. The dashed line is what the
    metric says of the true frames themselves.
    """
    figure = Figure(figsize=(4.1 * len(arms), 4.4), layout="constrained")
    styles = {name: {"color": colormaps["viridis"](0.9 * i / len(curve)), "fmt": "o"} for i, name in enumerate(curve)}
    styles |= {
        name: {"color": color, "fmt": "D"}
        for name, color in zip(others, (COLORS[1], COLORS[3], COLORS[4]), strict=False)
    }
    for axes, arm, title in zip(np.atleast_1d(figure.subplots(1, len(arms))), arms, titles, strict=True):
        changes = {name: (arm.change(name, "psnr"), arm.change(name, metric)) for name in styles if arm.has(name)}
        points = {name: (x.over(), y.percent) for name, (x, y) in changes.items()}
        far = _far(points)
        for name, (x, y) in points.items():
            if name != far:
                errors = ([[y.mean - y.low], [y.high - y.mean]], [[x.mean - x.low], [x.high - x.mean]])
                text = label(arm.runs(name))
                axes.errorbar(x.mean, y.mean, *errors, capsize=2, linewidth=1, label=text, **styles[name])
        along = [points[name] for name in curve if name in points and name != far]
        axes.plot([x.mean for x, _ in along], [y.mean for _, y in along], color="gray", linewidth=1, zorder=0)
        axes.axhline(0, color="black", linewidth=0.5, zorder=0)
        if arm.has("truth"):
            truth, control = arm.mean("truth", metric).mean, arm.mean(CONTROL, metric).mean
            axes.axhline(
                100 * (truth / control - 1), color="black", linewidth=1, linestyle="--", label="the true frames"
            )
        axes.axvline(0, color="black", linewidth=0.5, zorder=0)
        if not arm.metrics[metric].higher_is_better:
            axes.invert_yaxis()
        if far:
            x, y = points[far]
            text = f"{label(arm.runs(far))}, out of the picture:\n{x.mean:+.2f} dB, {y.mean:+.0f} %"
            box = {"facecolor": "white", "edgecolor": "none"}
            axes.text(0.97, 0.03, text, transform=axes.transAxes, fontsize=8, ha="right", bbox=box)
        axes.set_title(title, fontsize=10)
        axes.set(xlabel="PSNR minus that of L1 (dB)")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel(f"{arms[0].metrics[metric].title} against that of L1 (%)\nmore like real frames upwards")
    shown = {text: line for axes in figure.axes for line, text in zip(*axes.get_legend_handles_labels(), strict=True)}
    figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def _far(points: Mapping[str, tuple[Interval, Interval]]) -> str | None:
    """Return the treatment that is :data:`FAR` times as far from the control as any other; None without one."""
    others = [name for name in points if name != CONTROL]
    for axis in (0, 1):
        *_, next_one, last = [None, None, *sorted(others, key=lambda name: abs(points[name][axis].mean))]
        if next_one and last and abs(points[last][axis].mean) > FAR * abs(points[next_one][axis].mean):
            return last
    return None


def pictures(arm: Arm, treatments: Sequence[str], video: int, crop: tuple[int, int, int, int]) -> dict[str, Tensor]:
    """Return the truth, bicubic and each treatment's first run of the middle frame of a test video.

    (1, C, height, width) each in [0, 1], cut to ``crop``: top, left, height, width. The runs need their weights.
    """
    top, left, height, width = crop
    batch = load_test_batch(arm.runs(treatments[0]).results[0], video + 1)
    middle = batch.middle_frames()[video : video + 1]
    found = references(batch.select_targets(batch.low_res)[middle], batch.frames[middle])
    one = type(batch)(*(column[middle] for column in batch))
    for treatment in treatments:
        condition = arm.runs(treatment)
        found[label(condition)] = predict(condition.results[0], one).clamp(0, 1)
    return {name: it[..., top : top + height, left : left + width] for name, it in found.items()}


def picture_figure(rows: Sequence[dict[str, Tensor]]) -> Figure:
    """Draw a row per condition, with what it is above each picture."""
    columns = max(map(len, rows))
    figure = Figure(figsize=(1.75 * columns, 1.95 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes_row, found in zip(grid, rows, strict=True):
        for axes in axes_row:
            axes.set_axis_off()
        for axes, (name, image) in zip(axes_row, found.items(), strict=False):
            axes.set_title(name, fontsize=8)
            pixels = image[0].movedim(0, -1).squeeze(-1).numpy()
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    return figure
