"""Real video from a folder of video files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vsr_lightning.data.real_video.datamodule import RealVideo
from vsr_lightning.data.real_video.splits import listed
from vsr_lightning.data.real_video.video_clips import open_video_clips
from vsr_lightning.degradation import Degradation
from vsr_lightning.utils.checks import check_number

SUFFIXES = (".mp4", ".mov", ".mkv", ".m4v", ".avi", ".webm", ".mpg", ".mpeg", ".ts", ".y4m", ".gif")


class VideoFolder(RealVideo):
    """A folder of video files; see :class:`RealVideo`.

    Without a ``test.txt``, which lists the files to test on, one per line, either the last files test or, of each file,
    the last part. Frames of a part are numbered from its beginning.

    Args:
        root: the folder.
        test_videos: how many of the last files to test on; of a ``test.txt``, how many of its first.
        test_share: what share of each file to test on, its end, more than 0 and less than 1.
        used_share: what share of each file to use, its beginning, more than 0 and at most 1: as if it ended there. To
            choose among trainings by frames that none of the final tests shows.
        train_videos: how many of the training files to use, the first ones; None is all.
        gray: whether to read luminance instead of RGB.
        shrink: how many times smaller to make the frames first, which takes out what compression left in them: a whole
            number, or one for each file by its name without suffix; files that are not named, or with None, stay as
            they are.
        degradation, options: see :class:`RealVideo`.

    Raises:
        FileNotFoundError: the folder, or a listed file, is missing.
        ValueError: no way to split is given, or two; files that can't be used, or a number out of range.
    """

    def __init__(
        self,
        degradation: Degradation,
        root: str | Path,
        test_videos: int | None = None,
        test_share: float | None = None,
        used_share: float = 1.0,
        train_videos: int | None = None,
        gray: bool = False,
        shrink: int | Mapping[str, int] = 1,
        **options: Any,
    ) -> None:
        root = Path(root)
        train, test = _split(root, _files(root), test_videos, test_share)
        if train_videos is not None:
            check_number("data.train_videos", train_videos, 1, len(train))
            train = train[:train_videos]
        if not isinstance(used_share, int | float) or not 0 < used_share <= 1:
            raise ValueError(f"data.used_share={used_share} is out of range: choose more than 0 and at most 1")
        borders = (0.0, used_share) if test_share is None else (0.0, used_share * (1 - test_share), used_share)
        pieces = {"train": [(file, borders[:2]) for file in train], "test": [(file, borders[-2:]) for file in test]}
        factors = _factors(shrink, {*train, *test})
        clips = open_video_clips(root, pieces, gray, factors)
        numbers = {part: [number for number, _ in numbered] for part, numbered in clips.parts.items()}
        super().__init__(degradation, clips, numbers["train"], numbers["test"], **options)


def _factors(shrink: int | Mapping[str, int], files: Iterable[str]) -> dict[str, int]:
    by_stem, others = (shrink, 1) if isinstance(shrink, Mapping) else ({}, shrink)
    named = {stem: factor for stem, factor in by_stem.items() if factor is not None}
    stems = {file: Path(file).stem for file in sorted(files)}
    if unknown := [stem for stem in named if stem not in stems.values()]:
        choices = ", ".join(stems.values())
        raise ValueError(f"data.shrink.{unknown[0]} names no file: choose among {choices}, or set it to null")
    factors = {file: named.get(stem, others) for file, stem in stems.items()}
    for factor in factors.values():
        check_number("data.shrink", factor, 1)
    return factors


def _files(root: Path) -> list[str]:
    if not root.is_dir():
        raise FileNotFoundError(f"data.root={root} is missing: give a folder of video files")
    paths = (path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))
    files = sorted(path.relative_to(root).as_posix() for path in paths)
    if not files:
        raise FileNotFoundError(f"data.root={root} holds no video file: put some there ({', '.join(SUFFIXES)})")
    return files


def _split(
    root: Path, files: list[str], test_videos: int | None, test_share: float | None
) -> tuple[list[str], list[str]]:
    """Return the files to train on, and those to test on; the same where each is split."""
    if (root / "test.txt").exists():
        if test_share is not None:
            raise ValueError(f"data.test_share={test_share}: {root / 'test.txt'} says what tests; set it to null")
        test = list(listed(root / "test.txt"))
        if absent := sorted({*test} - {*files}):
            raise FileNotFoundError(f"data.root: {root / 'test.txt'} lists {absent[0]}, which is no video file there")
        train = [file for file in files if file not in test]
        if not train or not test:
            raise ValueError(f"data.root: {root / 'test.txt'} lists all files or none: name there some of them")
        if test_videos is not None:
            check_number("data.test_videos", test_videos, 1, len(test))
        return train, test[:test_videos]
    if (test_videos is None) == (test_share is None):
        ways = "data.test_videos, how many of the last files, or data.test_share, how much of each file's end"
        raise ValueError(f"data.root={root} has no test.txt: say what to test on by one of {ways}")
    if test_share is not None:
        if not isinstance(test_share, int | float) or not 0 < test_share < 1:
            raise ValueError(f"data.test_share={test_share} is out of range: choose more than 0 and less than 1")
        return files, files
    assert test_videos is not None
    check_number("data.test_videos", test_videos, 1, len(files) - 1)
    return files[:-test_videos], files[-test_videos:]
