"""Real video from folders of PNG frames, as REDS and Vimeo-90K are published."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from vsr_lightning.data.real_video.clips import Parts
from vsr_lightning.data.real_video.datamodule import RealVideo
from vsr_lightning.data.real_video.png_clips import PngClips, open_png_clips
from vsr_lightning.data.real_video.splits import find_split
from vsr_lightning.degradation import Degradation
from vsr_lightning.utils.checks import check_number

SEPTUPLET_TARGET = 3  # the fourth of Vimeo-90K's seven frames
PUBLISHED_SCALE = 4
# of a layout: the beginning of a sharp clip's folder, and that of its low-res one, below the root or beside it
PUBLISHED = {
    "reds": ("^train_sharp/", "train_sharp_bicubic/X4/"),
    "reds_official": ("^(train|val)_sharp/", r"\1_sharp_bicubic/X4/"),
    "vimeo": ("^sequences/", "../{root}_matlabLRx4/sequences/"),
}


class FrameFolders(RealVideo):
    """Folders of PNG frames; see :class:`RealVideo`.

    Args:
        root: folder of the set.
        layout: see :func:`vsr_lightning.data.real_video.splits.find_split`.
        train_videos: how many of the training clips to use, the first ones; None is all.
        test_videos: likewise; where the layout has no split, how many of the last clips to test on.
        gray: whether to read luminance instead of RGB.
        low_res: ``made`` of the sharp frames, or ``published``: read from the folders that the layout has for them, see
            :data:`PUBLISHED`.
        degradation, options: see :class:`RealVideo`.

    Raises:
        FileNotFoundError: a folder or a list is missing.
        ValueError: frames that can't be used, or a number out of range.
    """

    def __init__(
        self,
        degradation: Degradation,
        root: str | Path,
        layout: str = "reds",
        train_videos: int | None = None,
        test_videos: int | None = None,
        gray: bool = False,
        low_res: str = "made",
        **options: Any,
    ) -> None:
        parts = _parts(Path(root), layout, train_videos, test_videos)
        clips, small = open_png_clips(Path(root), parts, gray, layout), None
        if low_res == "published":
            small = _published(Path(root), layout, clips, degradation)
            clips = replace(
                clips,
                name=f"{clips.name}, published low-res",
                description=f"{clips.description}; low-res frames as published, {small.description}",
                checksum=hashlib.md5(f"{clips.checksum} {small.checksum}".encode(), usedforsecurity=False).hexdigest(),
                beside=small,
            )
        elif low_res != "made":
            raise ValueError(f"data.low_res={low_res} is unknown: choose made or published")
        train, test = ([number for number, _ in numbered] for numbered in parts.values())
        target = SEPTUPLET_TARGET if layout == "vimeo" else None
        super().__init__(degradation, clips, train, test, target=target, low_res=small, **options)


def _published(root: Path, layout: str, clips: PngClips, degradation: Degradation) -> PngClips:
    """Return the published low-res clips, with the numbers of the sharp ones; ValueError if they don't fit these."""
    if layout not in PUBLISHED:
        raise ValueError(f"data.low_res=published: no low-res frames are known of data.layout={layout}: choose made")
    if degradation.scale != PUBLISHED_SCALE or degradation.kernel_size != 1:
        only = f"only data.degradation.scale={PUBLISHED_SCALE} and kernel_size=1 are published"
        raise ValueError(f"data.low_res=published: {only}: choose these, or data.low_res=made")
    sharp, low = PUBLISHED[layout]

    def folder(name: str) -> str:
        return re.sub(sharp, low.format(root=root.resolve().name), name, count=1)

    parts = {part: [(number, folder(name)) for number, name in numbered] for part, numbered in clips.parts.items()}
    small = open_png_clips(root, parts, clips.gray, f"{layout} low-res")
    for number, clip in clips.clips.items():
        name, frames, size = small.clips[number]
        expected = tuple(side // degradation.scale for side in clip.size)
        if len(frames) != len(clip.frames) or size != expected:
            found = f"{len(frames)} frames of {size[0]}x{size[1]}, {clip.name} {len(clip.frames)} of {clip.size}"
            raise ValueError(f"data.low_res=published: {name} has {found}: they are not of the same clip")
    return small


def _parts(root: Path, layout: str, train_videos: int | None, test_videos: int | None) -> Parts:
    """Return number and folder of each clip in use; numbers follow the names of all clips, used or not."""
    train, test = find_split(layout, root)
    if not test:
        if test_videos is None:
            advice = "put them there, or say with data.test_videos how many of the last clips to test on"
            raise ValueError(
                f"data.root={root} has no train.txt and test.txt, each with one clip folder per line: {advice}"
            )
        check_number("data.test_videos", test_videos, 1, len(train) - 1)
        train, test = train[:-test_videos], train[-test_videos:]
    if not train:
        raise ValueError(f"data.root={root} has no clip to train on: put one there, or choose another data.layout")
    number = {folder: i for i, folder in enumerate(sorted((*train, *test)))}
    parts = {}
    for part, folders, count in (("train", train, train_videos), ("test", test, test_videos)):
        if count is not None:
            check_number(f"data.{part}_videos", count, 1, len(folders))
        parts[part] = [(number[folder], folder) for folder in folders[:count]]
    return parts
