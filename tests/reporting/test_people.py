import base64
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.optimize import minimize
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from tests.reporting.test_report import _run
from vsr_lightning.report import main
from vsr_lightning.reporting import pairs as pages
from vsr_lightning.reporting.pairs import draw_pairs
from vsr_lightning.reporting.people import preference, strength_intervals, strengths
from vsr_lightning.reporting.predictions import CLIP_FRAMES, GroupPredictions, predict_group
from vsr_lightning.reporting.report import write_report
from vsr_lightning.reporting.results import comparable, read_results

LABELS = ("mse", "perceptual", "charbonnier")


def _clips(labels=LABELS, videos=12, frames=3, size=16):
    generator = torch.Generator().manual_seed(0)
    shape = (videos, frames, 1, size, size)
    return {name: torch.randint(256, shape, dtype=torch.uint8, generator=generator) for name in ("truth", *labels)}


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """A sweep with a report: three losses, two videos each, and their page of pairs."""
    for seed, loss in enumerate(LABELS):
        _run(tmp_path / "sweep", f"{seed}_{loss}", loss)
    predictions = GroupPredictions(clips=_clips(videos=2))
    monkeypatch.setattr("vsr_lightning.reporting.report.predict_group", lambda group: predictions)
    write_report([tmp_path / "sweep"], tmp_path / "sweep" / "report")
    return tmp_path / "sweep"


def _shown(html):
    """Return what a page shows, as its script reads it."""
    return json.loads(unescape(re.search(r'<script id="shown" type="application/json">(.*?)</script>', html, re.S)[1]))


def _vote(sweep, name="votes.json", prefer="perceptual", votes=None, **changes):
    """Save votes as the page does, those on the preferred condition for it, the others for the left one."""
    shown = _shown((sweep / "report" / "pairs.html").read_text())
    conditions = json.loads((sweep / "report" / "pairs.json").read_text())["conditions"]
    made = [
        {"trial": number, "left": it["left"], "right": it["right"],
         "chosen": "right" if conditions[it["right"]] == prefer else "left"}
        for number, it in enumerate(shown["trials"])
    ]  # fmt: skip
    content = {"kind": "vsr_lightning votes", "format": 1, "page": shown["page"], "voter": name,
               "votes": made if votes is None else votes(made)}  # fmt: skip
    path = sweep.parent / name
    path.write_text(json.dumps(content | changes))
    return path


def _report(monkeypatch, sweep, *votes):
    monkeypatch.setattr(sys, "argv", ["report", str(sweep), *(["--votes", *map(str, votes)] if votes else [])])
    main()


def _table(sweep, name):
    return list(csv.DictReader((sweep / "report" / f"{name}.csv").open()))


# ---------------------------------------------------------------------------------------------------------------- page


def test_the_page_names_no_condition_and_needs_nothing_from_the_network():
    page = draw_pairs(_clips())
    words = re.sub(r'"[A-Za-z0-9+/=]{60,}"', '""', page.html)
    assert len(words) < 15_000
    assert not [label for label in LABELS if label in words]
    assert not re.search(r"https?:|//[a-z]|@import|url\(", words)
    assert "default-src &#39;none&#39;" in words or "default-src 'none'" in words
    assert set(page.conditions.values()) == set(LABELS)


def test_the_page_is_drawn_from_its_clips_and_every_two_conditions_are_on_both_sides():
    page, again, other = draw_pairs(_clips()), draw_pairs(_clips()), draw_pairs(_clips(videos=11))
    assert (page.html, page.key) == (again.html, again.key)
    assert page.checksum != other.checksum
    assert len(page.trials) == 3 * 12
    for one, two in combinations(page.conditions, 2):
        sides = [trial for trial in page.trials if set(trial) == {one, two}]
        assert len(sides) == 12
        assert {(one, two), (two, one)} == set(sides)


def test_a_trial_shows_the_frames_of_one_video_and_the_truth_between():
    clips = _clips()
    page = draw_pairs(clips)
    shown = _shown(page.html)
    strips = [_frames(picture, shown["frames"]) for picture in shown["pictures"]]
    videos = []
    for trial in shown["trials"]:
        left, truth, right = (strips[place] for place in trial["pictures"])
        (video,) = [number for number, clip in enumerate(clips["truth"]) if np.array_equal(clip[:, 0], truth)]
        np.testing.assert_array_equal(left, clips[page.conditions[trial["left"]]][video, :, 0])
        np.testing.assert_array_equal(right, clips[page.conditions[trial["right"]]][video, :, 0])
        videos.append(video)
    assert videos != sorted(videos)
    assert sorted(videos) == sorted([*range(12)] * 3)


def _frames(picture, frames):
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))))
    return pixels.reshape(frames, -1, pixels.shape[1])


def test_the_page_stays_small(monkeypatch):
    assert len(draw_pairs(_clips(("mse", "l1"), videos=99, size=8)).trials) == pages.TRIALS
    monkeypatch.setattr(pages, "MOST_BYTES", 20_000)
    page = draw_pairs(_clips())
    assert 3 < len(page.trials) < 36
    assert len(page.html) < 20_000 * 4 / 3 + 15_000


def test_a_page_needs_two_trained_conditions():
    assert draw_pairs({}) is None
    assert draw_pairs(_clips(("mse",))) is None


@pytest.mark.slow
def test_a_sweep_ends_with_a_page_of_the_frames_in_the_middle_of_its_test_videos(vsr, tmp_path):
    vsr("-m", "loss=mse,l1", "trainer.max_epochs=1", "data.train_videos=3", "hydra.sweep.dir=sweep")
    (group,) = comparable(read_results([tmp_path / "sweep"]))
    clips = predict_group(group).clips
    assert list(clips) == ["truth", "mse", "l1"]
    assert {clip.shape for clip in clips.values()} == {(2, min(CLIP_FRAMES, 4), 1, 64, 64)}
    assert len(_shown((tmp_path / "sweep" / "report" / "pairs.html").read_text())["trials"]) == 2


# --------------------------------------------------------------------------------------------------------------- votes


def test_without_votes_the_report_waits_for_people(sweep):
    text = (sweep / "report" / "report.md").read_text()
    assert "## What people chose\n\nThis waits for people. To vote, open pairs.html" in text
    assert not (sweep / "report" / "people.csv").exists()


def test_votes_come_back_as_tables(sweep, monkeypatch):
    before = {path: path.read_bytes() for path in (sweep / "report").glob("pairs.*")}
    files = [_vote(sweep), _vote(sweep, "of_another.json", votes=lambda made: made[:4])]
    _report(monkeypatch, sweep, *files)
    assert {path: path.read_bytes() for path in (sweep / "report").glob("pairs.*")} == before
    rows = _table(sweep, "people")
    assert sum(int(row["votes"]) for row in rows) == 6 + 4
    for row in rows:
        if "perceptual" in (row["first"], row["second"]):
            assert float(row["share"]) == (row["first"] == "perceptual")
    ranking = _table(sweep, "people_ranking")
    assert ranking[0]["condition"] == "perceptual"
    assert ranking[0]["won"] == ranking[0]["votes"]
    text = (sweep / "report" / "report.md").read_text()
    assert "2 people saw two networks' pictures" in text
    assert "over people, and over the votes of each" in text
    _report(monkeypatch, sweep)
    assert not (sweep / "report" / "people_ranking.csv").exists()
    assert {path: path.read_bytes() for path in (sweep / "report").glob("pairs.*")} == before


def test_each_choice_is_counted_for_what_was_chosen(sweep, monkeypatch):
    key = json.loads((sweep / "report" / "pairs.json").read_text())
    chosen = [("left", "right")[number % 2] for number in range(6)]
    file = _vote(sweep, votes=lambda made: [it | {"chosen": side} for it, side in zip(made, chosen, strict=True)])
    _report(monkeypatch, sweep, file)
    won = dict.fromkeys(LABELS, 0)
    for trial, side in zip(key["trials"], chosen, strict=True):
        won[key["conditions"][trial[side == "right"]]] += 1
    assert {row["condition"]: int(row["won"]) for row in _table(sweep, "people_ranking")} == won
    assert "the votes of the one person who voted" in (sweep / "report" / "report.md").read_text()


def test_each_group_has_a_page_and_votes_of_its_own(sweep, monkeypatch):
    for seed, loss in enumerate(LABELS):
        _run(sweep, f"{seed}_{loss}_longer", loss, epochs=9)
    by_group = {"A": GroupPredictions(clips=_clips(videos=2)), "B": GroupPredictions(clips=_clips(videos=1))}
    monkeypatch.setattr("vsr_lightning.reporting.report.predict_group", lambda group: by_group[group.name])
    file = _vote(sweep)  # on the page of the report before, which was of one group
    _report(monkeypatch, sweep, file)
    text = (sweep / "report" / "report.md").read_text()
    assert "## What people chose, group A\n\nOne person saw" in text
    assert "## What people chose, group B\n\nThis waits for people. To vote, open pairs_b.html" in text
    assert not (sweep / "report" / "pairs.html").exists()
    _report(monkeypatch, sweep, file)
    assert len(_table(sweep, "people_a")) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"page": "0123456789abcdef"}, "is not of a page of pairs in the report's folder: vote on the pairs.html"),
        ({"kind": "vsr_lightning pairs"}, "is no file of votes: give the file that the button of pairs.html saves"),
        ({"format": 2}, "has format 2, this version reads 1"),
        ({"voter": None}, "is damaged: give the file"),
        ({"votes": lambda made: []}, "holds no vote: leave it out"),
        ({"votes": lambda made: [made[0], made[0]]}, "is damaged: it has a vote on trial 0"),
        ({"votes": lambda made: [made[0] | {"trial": 99}]}, "is damaged: it has a vote on trial 99"),
        ({"votes": lambda made: [made[0] | {"left": "x9"}]}, "is damaged: trial 0 shows other pictures"),
        ({"votes": lambda made: [made[0] | {"chosen": "both"}]}, "is damaged: trial 0"),
        ({"votes": lambda made: ["left"]}, "is damaged: it has a vote on trial None"),
    ],
)
def test_wrong_votes_are_refused_in_one_line_and_nothing_is_altered(sweep, monkeypatch, changes, message):
    _assert_refused(monkeypatch, sweep, message, _vote(sweep, **changes))


def _assert_refused(monkeypatch, sweep, message, *files):
    before = {path: path.read_bytes() for path in (sweep / "report").iterdir()}
    with pytest.raises(SystemExit) as ended:
        _report(monkeypatch, sweep, *files)
    assert ended.value.code.startswith("error: ")
    assert message in ended.value.code
    assert "\n" not in ended.value.code
    assert {path: path.read_bytes() for path in (sweep / "report").iterdir()} == before


def test_files_that_are_none_of_votes_are_refused(sweep, monkeypatch):
    cut = sweep.parent / "cut.json"
    cut.write_text(_vote(sweep).read_text()[:100])
    _assert_refused(monkeypatch, sweep, "cut.json is damaged, or no file of votes: give the file", cut)
    _assert_refused(monkeypatch, sweep, "none.json can't be read (No such file", sweep.parent / "none.json")
    _assert_refused(monkeypatch, sweep, "run.json is no file of votes", sweep / "0_mse" / "run.json")
    twice = [_vote(sweep, "1.json", voter="me"), _vote(sweep, "2.json", voter="me")]
    _assert_refused(monkeypatch, sweep, "are of the same person: give the later one only", *twice)


def test_votes_on_conditions_that_the_sweeps_do_not_have_are_refused(sweep, monkeypatch):
    file = _vote(sweep)
    shutil.rmtree(sweep / "1_perceptual")
    _assert_refused(monkeypatch, sweep, "shows perceptual, which these sweeps do not have", file)


def test_votes_without_a_page_or_with_a_damaged_key_are_refused(sweep, monkeypatch):
    file = _vote(sweep)
    (sweep / "report" / "pairs.json").write_text("{}")
    _assert_refused(monkeypatch, sweep, "pairs.json is no key to a page of pairs: write the report without", file)
    (sweep / "report" / "pairs.json").unlink()
    _assert_refused(monkeypatch, sweep, "vote on the pairs.html there", file)


# ---------------------------------------------------------------------------------------------------------- statistics


def test_a_share_has_wilsons_interval():
    first, second, z = 14, 6, norm.ppf(0.975)
    n, share = first + second, first / (first + second)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    assert preference(first, second) == pytest.approx((0.7, middle - half, middle + half, 20))
    assert preference(0, 0) is None


def _wins(conditions=4, seed=0):
    wins = np.random.default_rng(seed).integers(1, 12, (conditions, conditions))
    np.fill_diagonal(wins, 0)
    return wins


def test_the_strength_of_two_is_the_logarithm_of_their_odds():
    a = strengths(np.array([[0, 30], [10, 0]]))
    assert a[0] - a[1] == pytest.approx(np.log(30.5 / 10.5))
    assert a.sum() == pytest.approx(0)


def test_strengths_are_those_of_a_logistic_regression_and_of_the_highest_likelihood():
    wins = _wins()
    rows, won, weights = [], [], []
    for one, two in np.argwhere(~np.eye(4, dtype=bool)):
        difference = np.eye(4)[one] - np.eye(4)[two]
        rows += [difference, -difference]
        won += [1, 0]
        weights += [wins[one, two] + 0.5] * 2
    regression = LogisticRegression(C=1e10, fit_intercept=False, tol=1e-10, max_iter=10_000)
    fitted = regression.fit(rows, won, sample_weight=weights).coef_[0]
    np.testing.assert_allclose(strengths(wins), fitted - fitted.mean(), atol=1e-5)

    def surprise(a):
        return sum(weight * np.log1p(np.exp(-row @ a)) for row, weight in zip(rows[::2], weights[::2], strict=True))

    likeliest = minimize(surprise, np.zeros(4), tol=1e-10).x
    np.testing.assert_allclose(strengths(wins), likeliest - likeliest.mean(), atol=1e-4)


def test_strengths_are_found_again_from_many_votes():
    a = np.array([1.2, 0.1, -0.3, -1.0])
    chance = 1 / (1 + np.exp(a[None] - a[:, None]))
    np.testing.assert_allclose(strengths(np.round(1e6 * chance * (1 - np.eye(4)))), a - a.mean(), atol=1e-4)


def test_a_condition_that_won_all_or_was_never_shown_has_a_finite_strength():
    wins = np.array([[0, 9, 0], [0, 0, 0], [0, 0, 0]])
    a = strengths(wins)
    assert np.isfinite(a).all()
    assert a[0] > a[2] > a[1]


def test_intervals_cover_the_strengths_as_often_as_they_say():
    rng = np.random.default_rng(1)
    a = np.array([0.5, 0.0, -0.5])
    chance = np.where(np.eye(3), 0, 1 / (1 + np.exp(a[None] - a[:, None])))
    covered = []
    for _ in range(100):
        won = np.triu(rng.binomial(30, chance), 1)
        wins = won + np.triu(30 - won, 1).T
        low, high = strength_intervals(wins[None], 200)
        covered.append((low <= a) & (a <= high))
    assert 0.88 <= np.mean(covered) <= 0.99


def test_voters_who_disagree_make_wider_intervals_than_one_with_all_their_votes():
    one, other = np.array([[0, 20], [0, 0]]), np.array([[0, 0], [20, 0]])
    together = np.diff(strength_intervals((one + other)[None]), axis=0)
    apart = np.diff(strength_intervals(np.stack([one, other] * 3)), axis=0)
    assert (apart > together).all()
    agreeing = np.diff(strength_intervals(np.stack([one + other] * 2)), axis=0)
    assert (agreeing > 0).all()


# ------------------------------------------------------------------------------------------------------------- browser

DRIVER = """<script>
const press = (key) => dispatchEvent(new KeyboardEvent("keydown", { key }));
if (!sessionStorage.reloaded) {
  sessionStorage.reloaded = true;
  for (const key of ["1", "2", "2", "x", "u", "Backspace", "2"]) press(key);
  location.reload();
} else {
  get("left").click();
  press("2");
  URL.createObjectURL = (blob) => { blob.text().then((text) => {
    document.body.append(Object.assign(document.createElement("pre"), { id: "saved", textContent: text }));
  }); return "#"; };
  save();
}
</script></body>"""


def _chromium():
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = [os.environ.get("CHROME"), *map(shutil.which, names)]
    found += map(str, (Path.home() / ".cache" / "ms-playwright").glob("chromium*/chrome-linux*/*chrom*"))
    return next((path for path in found if path and os.access(path, os.X_OK)), None)


@pytest.mark.slow
def test_a_browser_saves_what_was_pressed_and_clicked(sweep, monkeypatch, tmp_path):
    if not (chromium := _chromium()):
        pytest.skip("there is no Chromium: name one in the environment variable CHROME")
    html = (sweep / "report" / "pairs.html").read_text()
    (tmp_path / "driven.html").write_text(html.replace("</body>", DRIVER))
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command = [chromium, *flags, "--virtual-time-budget=5000", "--dump-dom", (tmp_path / "driven.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    saved = unescape(re.search(r'<pre id="saved">(.*?)</pre>', done.stdout, re.S)[1])
    votes = json.loads(saved)["votes"]
    assert [vote["chosen"] for vote in votes] == ["left", "right", "left", "right"]
    assert "4 of 6 answered" in done.stdout
    assert re.search(r'<canvas width="16" height="16"', done.stdout)
    (tmp_path / "votes.json").write_text(saved)
    _report(monkeypatch, sweep, tmp_path / "votes.json")
    key = json.loads((sweep / "report" / "pairs.json").read_text())
    assert [[vote["left"], vote["right"]] for vote in votes] == key["trials"][:4]
    assert sum(int(row["votes"]) for row in _table(sweep, "people")) == 4
