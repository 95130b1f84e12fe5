"""What a report says of people's choices between blind pairs."""

from itertools import combinations

import numpy as np

from vsr_lightning.reporting.pairs import Pairs
from vsr_lightning.reporting.people import RESAMPLES, preference, strength_intervals, strengths
from vsr_lightning.reporting.sections import Section
from vsr_lightning.reporting.votes import Choices
from vsr_lightning.utils.formatting import Rows, counted

TITLE = "What people chose"


def people_sections(page: Pairs, file: str, choices: Choices | None) -> list[Section]:
    """Return how people voted on a page of pairs, whose file lies beside the report; without choices, how to vote."""
    vote = (
        f"To vote, open {file}, which lies beside this page, in any browser: of each of its "
        f"{counted(len(page.trials), 'pair')} choose the one that looks more like the truth, and save votes.json. "
        "The command of this report with --votes votes.json, or the files of several people, then shows here what "
        f"they chose. Don't look into {file.removesuffix('.html')}.json before: it says which network made what."
    )
    if choices is None:
        return [Section("people", TITLE, [f"This waits for people. {vote}"])]
    return [_preferences(choices), _ranking(choices)]


def _preferences(choices: Choices) -> Section:
    rows, numbers = [], []
    wins = choices.wins.sum(0)
    for one, two in combinations(range(len(choices.labels)), 2):
        if found := preference(int(wins[one, two]), int(wins[two, one])):
            pair = {"first": choices.labels[one], "second": choices.labels[two]}
            shown = f"{100 * found.share:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f})"
            rows.append(pair | {"prefer the first": shown, "votes": str(found.votes)})
            numbers.append(pair | {key: f"{number:.7g}" for key, number in found._asdict().items()})
    people = f"{len(choices.wins)} people" if len(choices.wins) > 1 else "One person"
    text = (
        f"{people} saw two networks' pictures of the same test video, the truth between them, and chose the one that "
        "looks more like it, without knowing the networks; which stood left was drawn. "
        "The share of the votes for the first, with Wilson's 95 % interval, as if all votes were independent: 50 % is "
        "no preference."
    )
    return Section("people", TITLE, [text], rows, numbers)


def _ranking(choices: Choices) -> Section:
    rows: Rows = []
    numbers: Rows = []
    wins = choices.wins.sum(0)
    fitted, (low, high) = strengths(wins), strength_intervals(choices.wins)
    for place in np.argsort(-fitted, kind="stable"):
        won, votes = wins[place].sum(), wins[place].sum() + wins[:, place].sum()
        interval = f"{fitted[place]:+.2f} ({low[place]:+.2f} to {high[place]:+.2f})"
        row = {"condition": choices.labels[place]}
        rows.append(row | {"strength": interval, "votes won": f"{won} of {votes}"})
        values = {"strength": fitted[place], "low": low[place], "high": high[place], "won": won, "votes": votes}
        numbers.append(row | {key: f"{number:.7g}" for key, number in values.items()})
    over = "people, and over the votes of each" if len(choices.wins) > 1 else "the votes of the one person who voted"
    text = (
        "Strengths a of Bradley and Terry's model, the mean 0: the first of two is preferred with probability "
        "1 / (1 + exp(a2 - a1)), so that a difference of 1 stands for 73 %. The 95 % interval is the bootstrap's "
        f"({RESAMPLES} draws) over {over}. Half a win each way is added to every pair, without which a condition that "
        "won all its votes, or none, would have no finite strength."
    )
    return Section("people_ranking", "Ranked by what people chose", [text], rows, numbers)
