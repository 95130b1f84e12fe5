"""A page of blind pairs: two networks' pictures of the same test video beside the truth, for people to choose from."""

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader
from torch import Tensor
from torchvision.transforms.functional import to_pil_image

TRIALS = 60  # on a page: a few minutes of a person's time
MOST_BYTES = 7_000_000  # of a page's pictures, which are a third larger there
KIND, FORMAT = "vsr_lightning pairs", 1  # of a page's key


@dataclass(frozen=True)
class Pairs:
    """A page of pairs, and its key, which says what the page hides."""

    group: str  # the letter of the group that it is of
    checksum: str  # of what the page shows
    conditions: dict[str, str]  # id on the page -> label
    trials: tuple[tuple[str, str], ...]  # ids of the left and of the right condition
    html: str

    @property
    def key(self) -> str:
        """The key in JSON, to be written beside the page."""
        content = {"kind": KIND, "format": FORMAT, "group": self.group, "page": self.checksum}
        return json.dumps(content | {"conditions": self.conditions, "trials": self.trials}) + "\n"


def read_pairs(folder: Path) -> list[Pairs]:
    """Return the pages of pairs in a report's folder that have their key; ValueError where one is damaged."""
    found = []
    for path in sorted(folder.glob("pairs*.json")):
        try:
            key = json.loads(path.read_text(encoding="utf-8"))
            if (key["kind"], key["format"]) != (KIND, FORMAT):
                raise ValueError
            trials = tuple((left, right) for left, right in key["trials"])
            if not {name for trial in trials for name in trial} <= key["conditions"].keys():
                raise ValueError
            html = path.with_suffix(".html").read_text(encoding="utf-8")
            found.append(Pairs(key["group"], key["page"], key["conditions"], trials, html))
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            raise ValueError(f"{path} is no key to a page of pairs: write the report without --votes first") from None
    return found


def draw_pairs(clips: Mapping[str, Tensor], group: str = "A") -> Pairs | None:
    """Draw a page of pairs from clips; the same clips make the same page.

    Every two conditions are shown on the same videos, from the first on, as many as the numbers above allow. The order
    of the trials, the sides and the ids are drawn from the clips' checksum.

    Args:
        clips: the ``truth`` and what conditions made of it, by their labels, each (videos, T, C, H, W) uint8, with 1 or
            3 channels.
        group: letter of the conditions' group.

    Returns:
        None if there are fewer than two conditions.
    """
    labels = [label for label in clips if label != "truth"]
    if len(labels) < 2:
        return None
    content = hashlib.sha256(b"".join(clips[label].numpy().tobytes() for label in ("truth", *labels)))
    rng = np.random.default_rng(int(content.hexdigest(), 16))
    ids = {label: f"x{place}" for label, place in zip(labels, rng.permutation(len(labels)), strict=True)}
    every_two = list(combinations(range(len(labels)), 2))
    drawn = [
        (video, *(labels[place] for place in rng.permutation(pair)))
        for video in range(len(clips["truth"]))
        for pair in rng.permutation(every_two)
    ]
    pictures: dict[tuple[str, int], bytes] = {}
    trials: list[dict[str, Any]] = []
    for video, left, right in drawn[:TRIALS]:
        shown = [(left, video), ("truth", video), (right, video)]
        more = {it: _strip(clips[it[0]][video]) for it in shown if it not in pictures}
        if trials and sum(map(len, [*pictures.values(), *more.values()])) > MOST_BYTES:
            break
        pictures |= more
        places = list(pictures)
        trials.append({"left": ids[left], "right": ids[right], "pictures": [places.index(it) for it in shown]})
    order = rng.permutation(len(trials))
    page = {
        "frames": clips["truth"].shape[1],
        "pictures": [base64.b64encode(picture).decode() for picture in pictures.values()],
        "trials": [trials[place] for place in order],
    }
    checksum = hashlib.sha256(json.dumps(page).encode()).hexdigest()[:16]
    template = Environment(loader=PackageLoader("vsr_lightning", "reporting"), autoescape=True)
    html = template.get_template("pairs.html.jinja").render(shown={"page": checksum, **page})
    conditions = {ids[label]: label for label in sorted(labels, key=ids.__getitem__)}
    return Pairs(group, checksum, conditions, tuple((trials[it]["left"], trials[it]["right"]) for it in order), html)


def _strip(clip: Tensor) -> bytes:
    """Return the frames of a (T, C, H, W) uint8 clip below one another, as one PNG."""
    buffer = io.BytesIO()
    to_pil_image(clip.movedim(0, 1).flatten(1, 2)).save(buffer, "png", optimize=True)
    return buffer.getvalue()
