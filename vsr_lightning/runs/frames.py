"""``frames.csv``: the scores of each test frame."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vsr_lightning.utils.files import write_text

FRAMES_FILE = "frames.csv"
FEW = 20  # videos: of fewer, parts of them are the units
PARTS = 4  # of each
ScoreRows = list[dict[str, float]]


def units(video: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Return a number for what each frame is a part of that counts as independent, (N,) int: an interval is over these.

    That is its video; of fewer than :data:`FEW` videos a quarter of it, since three clips make no interval. Such an
    interval says what other frames of the same clips would change; it is somewhat narrow where quarters are alike.
    """
    videos, number = np.unique(video, return_inverse=True)
    if len(videos) >= FEW:
        return number.reshape(-1)
    found = np.zeros(len(video), int)
    for place in range(len(videos)):
        mine = number == place
        found[mine] = PARTS * place + part_of(frame[mine])
    return np.unique(found, return_inverse=True)[1].reshape(-1)


def part_of(frame: np.ndarray) -> np.ndarray:
    """Return which of :data:`PARTS` equal parts of a video each of its frames, (T,), is in."""
    first, last = frame.min(), frame.max()
    return (PARTS * (frame - first) // (last - first + 1)).astype(int)


def write_frames(path: Path, rows: ScoreRows) -> None:
    """Write rows of equal keys as csv."""
    buffer = io.StringIO()
    table = [[row[name] for name in rows[0]] for row in rows]
    np.savetxt(buffer, table, fmt="%.7g", delimiter=",", header=",".join(rows[0]), comments="")
    write_text(path, buffer.getvalue())


def read_frames(path: Path, names: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
    """Return ``frames.csv`` as columns: ``video`` and ``frame`` (int), and each score (float), all of one length.

    ``names`` has today's names by old ones, see :func:`vsr_lightning.runs.migrate.score_names`.
    """
    with path.open(encoding="utf-8") as file:
        header = file.readline().strip().split(",")
        table = np.loadtxt(file, delimiter=",", ndmin=2)
    columns = {(names or {}).get(name, name): column for name, column in zip(header, table.T, strict=True)}
    return {name: column.astype(int) if name in ("video", "frame") else column for name, column in columns.items()}
