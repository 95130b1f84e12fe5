import json
import subprocess

import pytest

from vsr_lightning.runs.provenance import git_state
from vsr_lightning.runs.read_record import read_runs
from vsr_lightning.utils.files import write_json


def _git(folder, *args):
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(folder), *identity, *args], check=True, capture_output=True)


def test_git_state_knows_the_commit_and_whether_the_tree_is_dirty(tmp_path):
    _git(tmp_path, "init")
    (tmp_path / "file").write_text("a")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "commit", "-m", "first")
    state = git_state(tmp_path)
    assert len(state["commit"]) == 40
    assert not state["dirty"]
    (tmp_path / "file").write_text("b")
    assert git_state(tmp_path) == {"commit": state["commit"], "dirty": True}


def test_a_package_installed_inside_somebody_elses_repository_does_not_claim_its_commit(tmp_path):
    _git(tmp_path, "init")
    (tmp_path / "site-packages").mkdir()
    assert git_state(tmp_path / "site-packages") is None


def test_json_is_never_seen_half_written(tmp_path):
    write_json(tmp_path / "run.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "run.json", {"a": object()})
    assert json.loads((tmp_path / "run.json").read_text()) == {"a": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]


def test_runs_are_read_in_the_order_of_their_numbers(tmp_path):
    for name in ("10_b", "9_a", "bicubic"):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / "run.json", {"name": name})
    assert [run["name"] for _, run in read_runs(tmp_path)] == ["9_a", "10_b", "bicubic"]
