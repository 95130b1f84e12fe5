"""Folders of pictures, one for each frame."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from PIL import Image, ImageOps

from vsr_lightning.inference.orientation import UPRIGHT, Orientation
from vsr_lightning.inference.pixels import colored, reformatted, with_channels
from vsr_lightning.inference.video import DEEP, Format, Frame, Video, different_sizes

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp")
GRAY_MODES = ("1", "L", "LA", "I;16", "I;16B", "I")
WIDTH, HEIGHT, BITS_PER_SAMPLE, ORIENTATION = 256, 257, 258, 274  # tags of TIFF and Exif
EXIF = {number: Orientation(*it) for number, it in enumerate([(True, 0), (False, 2), (True, 2), (True, 1), (False, 3),
                                                              (True, 3), (False, 1)], start=2)}  # fmt: skip


class Picture(NamedTuple):
    """What the frames of a video must have in common, of one of them."""

    size: tuple[int, int]  # height, width
    color: bool
    transparent: bool
    deep: bool
    profile: bool  # of colors


def pictures_in(folder: Path) -> list[Path]:
    """Return the pictures of a folder by the numbers in their names, without what systems hide there."""
    files = (it for it in folder.iterdir() if it.suffix.lower() in PICTURES and not it.name.startswith("."))
    return sorted(files, key=lambda file: (_numbers(file), file.name))


def open_pictures(path: Path) -> Video:
    """Look at a folder of :data:`PICTURES`, in gray or color, of 8 or 16 bits, transparent or not.

    Raises:
        ValueError: there are none, or of different sizes.
        OSError: one is damaged.
    """
    files = pictures_in(path)
    if not files:
        raise ValueError(f"input={path} holds no frame: put pictures there ({', '.join(PICTURES)})")
    looked_at = [_look(file) for file in files]
    if len(sizes := {picture.size for picture in looked_at}) > 1:
        raise different_sizes(path, {*sizes})
    color = any(picture.color for picture in looked_at)
    transparent = any(picture.transparent for picture in looked_at)
    deep = any(picture.deep for picture in looked_at)
    channels = (3 if color else 1) + transparent
    notes = _gaps(files)
    if any(picture.profile for picture in looked_at):
        notes.append("its color profiles are left out: what comes out is taken for sRGB")
    kept = Format(white=DEEP if deep else 255)
    frames = partial(_frames, files, channels, deep)
    return Video(path, (*looked_at[0].size, channels), len(files), kept, frames, notes=notes)


def _frames(files: list[Path], channels: int, deep: bool, bad: list[str]) -> Iterator[Frame]:
    for file in files:
        yield Frame(_pixels(file, channels, deep))


def _numbers(file: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", file.stem)]


def _gaps(files: list[Path]) -> list[str]:
    """Return what to say of numbers that are missing."""
    numbers = [found[-1] for file in files if (found := _numbers(file))]
    if len({*numbers}) < len(files) or max(numbers) - min(numbers) > 100 * len(files):  # of something else
        return []
    missing = sorted({*range(min(numbers), max(numbers) + 1)} - {*numbers})
    if not missing:
        return []
    shown = ", ".join(map(str, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
    return [
        f"of the numbers {min(numbers)} to {max(numbers)} there is no picture {shown}: the others follow each other"
    ]


def _look(file: Path) -> Picture:
    with Image.open(file) as image:
        if getattr(image, "n_frames", 1) > 1:
            raise ValueError(
                f"input={file.parent} has {file.name}, which is of several frames: give one picture of each"
            )
        tags = getattr(image, "tag_v2", {})  # of a TIFF, whose size Pillow gives as it is shown, or not
        width, height = (tags.get(tag, side) for tag, side in zip((WIDTH, HEIGHT), image.size, strict=True))
        size = (width, height) if _orientation(image).lies else (height, width)
        could = "A" in image.getbands() or "transparency" in image.info
        rgba = np.asarray(image.convert("RGBA")) if could or image.mode == "P" else np.empty((0, 0, 4))
        gray = image.mode in GRAY_MODES or _is_gray_png(file) or (image.mode == "P" and not colored(rgba))
        transparent = could and bool((rgba[..., 3] < 255).any())
        return Picture(size, not gray, transparent, _is_deep(file, image), "icc_profile" in image.info)


def _orientation(image: Image.Image) -> Orientation:
    """Return how a picture that was not loaded yet is to be turned."""
    tags = getattr(image, "tag_v2", None) or image.getexif()
    return EXIF.get(tags.get(ORIENTATION, 1), UPRIGHT)


def _is_gray_png(file: Path) -> bool:
    """Return whether it is a PNG of gray, with alpha or not: Pillow gives 16 bits of both as RGB with alpha."""
    return file.suffix.lower() == ".png" and _png_header(file)[1] in (0, 4)


def _png_header(file: Path) -> tuple[int, int]:
    """Return the bits of a channel, and the code of what channels there are."""
    with file.open("rb") as content:
        *_, bits, channels = content.read(26)
    return bits, channels


def _is_deep(file: Path, image: Image.Image) -> bool:
    """Return whether a picture has 16 bits: Pillow does not say so of a PNG in color, of which it drops 8."""
    if file.suffix.lower() == ".png":
        return _png_header(file)[0] == 16
    bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (8,))
    return image.mode.startswith("I") or max(bits if isinstance(bits, tuple) else (bits,)) > 8


def _pixels(file: Path, channels: int, deep: bool) -> np.ndarray:
    """(H, W, channels), of 8 bits, or of 16 where another picture has these."""
    with Image.open(file) as image:
        if _is_deep(file, image):
            return _orientation(image).upright(_deep_pixels(file, channels))
        kind = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[channels]
        upright = ImageOps.exif_transpose(image)
        whole = upright.convert("RGBA") if "transparency" in image.info else upright
        pixels = np.array(whole.convert(kind))
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    return pixels.astype(np.uint16) * 257 if deep else pixels


def _deep_pixels(file: Path, channels: int) -> np.ndarray:
    with av.open(file.absolute()) as container:
        (frame,) = container.decode(video=0)
        return with_channels(reformatted(frame, "rgba64le").to_ndarray(), channels)
