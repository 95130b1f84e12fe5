"""The score table of a sweep: a row a run, with what each was made from."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vsr_lightning.metrics import NOT_ALWAYS, SCORES
from vsr_lightning.runs.comparable import WHOLE, scored_part, test_set
from vsr_lightning.runs.record import read_runs
from vsr_lightning.utils.files import write_text
from vsr_lightning.utils.formatting import markdown

Run = tuple[Path, dict[str, Any]]


def write_table(folder: Path) -> str:
    """Write ``scores.csv`` and ``scores.md`` of all runs below ``folder``; return the markdown."""
    runs = read_runs(folder)
    rows = score_rows(runs)
    text = "\n".join([markdown(rows), "", *notes(runs), ""])
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "scores.csv", buffer.getvalue())
    write_text(folder / "scores.md", text)
    return text


def score_rows(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Return a row a run: ``swept`` holds the overrides in which it differs, ``compare`` a letter a test set."""
    trained = [set(run["overrides"]) for _, run in runs if run.get("overrides")]
    common = set.intersection(*trained) if trained else set()
    test_sets = dict.fromkeys(test_set(run) for _, run in runs if run.get("data"))
    scored = {name for _, run in runs for name in run.get("scores", {})}
    letters = {key: chr(ord("A") + i) for i, key in enumerate(test_sets)}
    return [
        {
            "run": path.name,
            "model": run["model"],
            "loss": run["loss"],
            "swept": " ".join(item for item in run.get("overrides", ()) if item not in common and not _named(item)),
            **{title: _score(run, name) for name, title in SCORES.items() if name in scored or name not in NOT_ALWAYS},
            "epochs": str(run.get("epochs", "")),
            "wall time (s)": f"{run.get('wall_time_s', 0):.1f}",
            "data": (run.get("data") or {}).get("name", ""),
            "features": (run.get("features") or {}).get("name", ""),
            "compare": letters.get(test_set(run), ""),
            "status": run["status"],
        }
        for path, run in runs
    ]


def notes(runs: Sequence[Run]) -> list[str]:
    """Return what a reader of the table must know: stand-ins, and which rows are not to be compared."""
    lines = []
    data = {run["data"]["description"] for _, run in runs if run.get("data")}
    lines += [f"Data: {description}." for description in sorted(data)]
    features = {(run["features"]["name"], run["features"]["checksum"]) for _, run in runs if run.get("features")}
    lines += [
        f"Features of the perceptual loss: VGG-19 with {name} weights, SHA-256 {sha256[:12]}."
        for name, sha256 in sorted(features)
    ]
    for name, checksum in sorted(
        {
            (run["metric_features"]["name"], run["metric_features"]["checksum"])
            for _, run in runs
            if run.get("metric_features")
        }
    ):
        lines.append(
            f"VGG distance: Eq. 5 through VGG-19 with {name} weights, SHA-256 {checksum[:12]}, lower is better. "
            "HaarPSI (higher is better) and GMSD (lower): no network has a part in them. "
            "temporal error: mean absolute error of the change from frame to frame, lower is better."
        )
        if same := [path.name for path, run in runs if (run.get("features") or {}).get("checksum") == checksum]:
            lines.append(
                f"**Trained on what the column VGG distance looks through: "
                f"{', '.join(same)}. Judge by HaarPSI instead.**"
            )
    if len({test_set(run) for _, run in runs if run.get("data")}) > 1:
        lines.append(
            "**Rows with different letters were scored on different data, or otherwise: do not compare them.**"
        )
    if len(features) > 1:
        lines.append("**The perceptual rows were trained on different features: see the column.**")
    lines += [
        f"{path.name} started from weights trained on {start['loss']}, {start['epochs']} epochs: {start['path']}."
        for path, run in runs
        if (start := run.get("init_from"))
    ]
    lines += [
        f"PSNR and SSIM: {seen}; the other scores see whole frames."
        for seen in sorted({scored_part(run) for _, run in runs})
        if seen != WHOLE
    ]
    unfinished = [(path, run) for path, run in runs if run["status"] != "finished"]
    lines += [f"{path.name} is {run['status']}: {run.get('error', 'no scores yet')}" for path, run in unfinished]
    return lines


def _named(override: str) -> bool:
    return override.startswith(("model=", "loss="))  # columns of their own


def _score(run: dict[str, Any], name: str) -> str:
    value = run.get("scores", {}).get(name)
    return "" if value is None else f"{value:.3e}" if name == "ssim_published" else f"{value:.4f}"
