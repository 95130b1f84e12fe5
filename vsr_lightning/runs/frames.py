"""``frames.csv``: the scores of each test frame."""

import csv
import io
from pathlib import Path

import numpy as np

from vsr_lightning.runs.migrate import upgrade_columns
from vsr_lightning.utils.files import write_text

FRAMES_FILE = "frames.csv"
Rows = list[dict[str, float]]


def write_frames(path: Path, rows: Rows) -> None:
    """Write rows of equal keys as csv."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.7g}" for name, value in row.items()} for row in rows)
    write_text(path, buffer.getvalue())


def read_frames(path: Path) -> dict[str, np.ndarray]:
    """Return ``frames.csv`` as columns: ``video`` and ``frame`` (int), and each score (float), all of one length."""
    table = np.genfromtxt(path, delimiter=",", names=True, ndmin=1)
    columns = upgrade_columns({name: table[name] for name in table.dtype.names or ()})
    return {name: column.astype(int) if name in ("video", "frame") else column for name, column in columns.items()}
