"""What people saved on pages of pairs, told by the pages' keys."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vsr_lightning.reporting.pairs import Pairs

KIND, FORMAT = "vsr_lightning votes", 1


@dataclass(frozen=True)
class Choices:
    """What people chose between conditions."""

    labels: tuple[str, ...]
    wins: np.ndarray  # (voters, K, K), how often each voter preferred the condition of the row to that of the column


def read_votes(files: Sequence[Path], pages: Sequence[Pairs]) -> dict[str, tuple[Pairs, Choices]]:
    """Return each page that has votes, and them, by its group; a file is what one person chose on one page.

    Raises:
        ValueError: a file is missing, damaged, of another kind or of another page, or two are of the same person.
    """
    known = {page.checksum: page for page in pages}
    voted: dict[str, list[np.ndarray]] = {}
    by_voter: dict[tuple[str, str], Path] = {}
    for file in files:
        content = _content(file)
        page = known.get(content["page"])
        if page is None:
            raise ValueError(
                f"{file} is not of a page of pairs in the report's folder: vote on the pairs.html there (written by "
                "this command without --votes), or give --output the folder of the report whose page was voted on"
            )
        voter = content["page"], content["voter"]
        if voter in by_voter:
            raise ValueError(f"{by_voter[voter]} and {file} are of the same person: give the later one only")
        by_voter[voter] = file
        voted.setdefault(content["page"], []).append(_wins(file, content["votes"], page))
    return {
        page.group: (page, Choices(tuple(page.conditions.values()), np.stack(voted[page.checksum])))
        for page in pages
        if page.checksum in voted
    }


def _content(file: Path) -> dict[str, Any]:
    """Return what a file holds, if it is one of votes."""
    button = "give the file that the button of pairs.html saves"
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{file} can't be read ({error.strerror}): {button}") from None
    except ValueError:
        raise ValueError(f"{file} is damaged, or no file of votes: {button}") from None
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise ValueError(f"{file} is no file of votes: {button}")
    if content.get("format") != FORMAT:
        raise ValueError(f"{file} has format {content.get('format')}, this version reads {FORMAT}: {button}")
    if not isinstance(content.get("votes"), list) or not all(
        isinstance(content.get(name), str) for name in ("page", "voter")
    ):
        raise ValueError(f"{file} is damaged: {button}")
    if not content["votes"]:
        raise ValueError(f"{file} holds no vote: leave it out")
    return content


def _wins(file: Path, votes: Sequence[Any], page: Pairs) -> np.ndarray:
    """Return how often the condition of the row was preferred to that of the column, (K, K)."""
    places = {name: place for place, name in enumerate(page.conditions)}
    wins = np.zeros((len(places), len(places)), int)
    seen = set()
    for vote in votes:
        trial = vote.get("trial") if isinstance(vote, Mapping) else None
        if type(trial) is not int or not 0 <= trial < len(page.trials) or trial in seen:
            raise ValueError(f"{file} is damaged: it has a vote on trial {trial}; save it again from pairs.html")
        left, right = page.trials[trial]
        if (vote.get("left"), vote.get("right")) != (left, right) or vote.get("chosen") not in ("left", "right"):
            raise ValueError(f"{file} is damaged: trial {trial} shows other pictures; save it again from pairs.html")
        seen.add(trial)
        winner, loser = (left, right) if vote["chosen"] == "left" else (right, left)
        wins[places[winner], places[loser]] += 1
    return wins
