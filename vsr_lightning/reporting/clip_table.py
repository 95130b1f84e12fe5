"""The scores of each test clip, as the field's tables of real video list them."""

from pathlib import Path
from typing import Any

import numpy as np

from vsr_lightning.metrics import METRICS, scored_metrics
from vsr_lightning.runs.frames import FRAMES_FILE, read_frames
from vsr_lightning.utils.files import write_text
from vsr_lightning.utils.formatting import Rows, aligned, csv_text

SHOWN = ("psnr", "ssim", "haarpsi")


def write_clip_table(folder: Path, record: dict[str, Any]) -> str:
    """Write ``clips.csv``, the mean of each metric over each test clip's frames; return the table, or nothing.

    There is one where a scored run's data have names for few test clips; its frames' scores lie in ``folder``.
    """
    names = (record.get("data") or {}).get("test_clips")
    if not names or not record.get("scores") or not (folder / FRAMES_FILE).exists():
        return ""
    scores = read_frames(folder / FRAMES_FILE)
    metrics = scored_metrics([record])
    rows: Rows = []
    for number, name in names.items():
        of_clip = scores["video"] == int(number)
        known = {key: column[of_clip & ~np.isnan(column)] for key, column in scores.items() if key in metrics}
        means = {key: values.mean() if len(values) else np.nan for key, values in known.items()}
        counted = {"clip": name, "frames": str(of_clip.sum())}
        rows.append(counted | {metrics[key].title: format(mean, metrics[key].form) for key, mean in means.items()})
    write_text(folder / "clips.csv", csv_text(rows))
    titles = ("clip", "frames", *(METRICS[key].title for key in SHOWN))
    return f"{aligned([{title: row[title] for title in titles} for row in rows])}\n"
