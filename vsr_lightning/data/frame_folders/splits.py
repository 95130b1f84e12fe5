"""Which clips train and which test, in the layouts that sets of PNG frames are published in."""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

REDS4 = ("000", "011", "015", "020")  # of the training clips, kept for tests by most of the field (Wang et al. 2019)


class Split(NamedTuple):
    """Clip folders relative to the root, in the order in which they are listed."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def find_split(layout: str, root: Path) -> Split:
    """Return the clips of a set.

    Args:
        layout: ``reds`` (Nah et al. 2019) tests on REDS4 and trains on the other clips of ``train_sharp``;
            ``reds_official`` trains on ``train_sharp`` and tests on ``val_sharp``; ``vimeo`` (Xue et al. 2019) has the
            septuplets' lists; ``folders`` takes ``train.txt`` and ``test.txt``, or without these all folders to train.
        root: the folder above.

    Raises:
        FileNotFoundError: the root, or a folder or list that the layout needs, is missing.
        ValueError: an unknown layout, a list that is no text, or a clip in both parts.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"data.layout={layout} is unknown: choose one of {', '.join(LAYOUTS)}")
    if not root.is_dir():
        raise FileNotFoundError(f"data.root={root} is missing: give the folder of the set")
    split = LAYOUTS[layout](root)
    if both := sorted({*split.train} & {*split.test}):
        raise ValueError(f"data.root={root} has {both[0]} in both parts of the split: take it out of one")
    return split


def _reds(root: Path) -> Split:
    clips, test = _folders(root, "train_sharp"), tuple(f"train_sharp/{name}" for name in REDS4)
    return Split(tuple(clip for clip in clips if clip not in test), test)


def _reds_official(root: Path) -> Split:
    return Split(_folders(root, "train_sharp"), _folders(root, "val_sharp"))


def _vimeo(root: Path) -> Split:
    lists = (_listed(root / f"sep_{part}list.txt") for part in ("train", "test"))
    return Split(*(tuple(f"sequences/{name}" for name in names) for names in lists))


def _plain(root: Path) -> Split:
    if not any((root / f"{part}.txt").exists() for part in ("train", "test")):
        return Split(_folders(root), ())
    return Split(*(_listed(root / f"{part}.txt") for part in ("train", "test")))


def _folders(root: Path, inside: str = "") -> tuple[str, ...]:
    folder = root / inside
    if not folder.is_dir():
        raise FileNotFoundError(f"data.root={root} has no folder {inside}: give the folder above it, or another layout")
    found = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not found:
        raise FileNotFoundError(f"data.root: {folder} holds no clip folder")
    return tuple(f"{inside}/{name}" if inside else name for name in found)


def _listed(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        raise FileNotFoundError(f"data.root: {path} is missing, which lists one clip folder per line")
    names = dict.fromkeys(line.strip().strip("/") for line in _text(path).splitlines())
    return tuple(name for name in names if name)


def _text(path: Path) -> str:
    """Return a file's text; editors of Windows save UTF-16, or UTF-8 that begins with a byte-order mark."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError(f"data.root: {path} is not text in UTF-8: save it as UTF-8")
    return text


LAYOUTS: dict[str, Callable[[Path], Split]] = {
    "reds": _reds,
    "reds_official": _reds_official,
    "vimeo": _vimeo,
    "folders": _plain,
}
