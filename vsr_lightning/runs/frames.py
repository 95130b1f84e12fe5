"""``frames.csv``: the scores of each test frame."""

import io
from pathlib import Path

import numpy as np

from vsr_lightning.runs.migrate import SCORES
from vsr_lightning.utils.files import write_text

FRAMES_FILE = "frames.csv"
Rows = list[dict[str, float]]


def write_frames(path: Path, rows: Rows) -> None:
    """Write rows of equal keys as csv."""
    buffer = io.StringIO()
    table = [[row[name] for name in rows[0]] for row in rows]
    np.savetxt(buffer, table, fmt="%.7g", delimiter=",", header=",".join(rows[0]), comments="")
    write_text(path, buffer.getvalue())


def read_frames(path: Path) -> dict[str, np.ndarray]:
    """Return ``frames.csv`` as columns: ``video`` and ``frame`` (int), and each score (float), all of one length."""
    table = np.genfromtxt(path, delimiter=",", names=True, ndmin=1)
    columns = {SCORES.get(name, name): table[name] for name in table.dtype.names or ()}
    return {name: column.astype(int) if name in ("video", "frame") else column for name, column in columns.items()}
