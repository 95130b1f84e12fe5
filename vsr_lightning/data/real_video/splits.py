"""Which clips train and which test, in the layouts that sets of PNG frames are published in."""

from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

LAYOUTS = ("reds", "reds_official", "vimeo", "folders")
REDS4 = ("000", "011", "015", "020")  # of the training clips, kept for tests by most of the field (Wang et al. 2019)
Folders = tuple[str, ...]  # relative to the root, in the order in which they are listed


def find_split(layout: str, root: Path) -> tuple[Folders, Folders]:
    """Return the folders of the clips to train on and to test on.

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
    test: Folders = ()
    if layout == "vimeo":
        train, test = (listed(root / f"sep_{part}list.txt", "sequences/") for part in ("train", "test"))
    elif layout == "reds_official":
        train, test = _folders(root, "train_sharp"), _folders(root, "val_sharp")
    elif layout == "reds":
        test = tuple(f"train_sharp/{name}" for name in REDS4)
        train = tuple(clip for clip in _folders(root, "train_sharp") if clip not in test)
    elif any((root / f"{part}.txt").exists() for part in ("train", "test")):
        train, test = (listed(root / f"{part}.txt") for part in ("train", "test"))
    else:
        train = _folders(root)
    if both := sorted({*train} & {*test}):
        raise ValueError(f"data.root={root} has {both[0]} in both parts of the split: take it out of one")
    return train, test


def _folders(root: Path, inside: str = "") -> Folders:
    folder = root / inside
    if not folder.is_dir():
        raise FileNotFoundError(f"data.root={root} has no folder {inside}: give the folder above it, or another layout")
    found = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not found:
        raise FileNotFoundError(f"data.root: {folder} holds no clip folder")
    return tuple(f"{inside}/{name}" if inside else name for name in found)


def listed(path: Path, prefix: str = "") -> Folders:
    """Return the lines of a list, each once; FileNotFoundError if it is missing, ValueError if it is no text."""
    if not path.is_file():
        raise FileNotFoundError(f"data.root: {path} is missing, which lists one clip per line")
    names = dict.fromkeys(line.strip().strip("/") for line in _text(path).splitlines())
    return tuple(prefix + name for name in names if name)


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
