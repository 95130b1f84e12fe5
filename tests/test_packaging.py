"""The wheel carries the configs, so the command works outside a checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support import TINY
from vsr_lightning.judges.reader import WEIGHTS
from vsr_lightning.losses.vgg import BUNDLED

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel's content in a folder of its own."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_carries_every_config(installed):
    ours = sorted(path.relative_to(ROOT / "conf") for path in (ROOT / "conf").rglob("*.yaml"))
    theirs = sorted(path.relative_to(installed / "vsr_lightning/conf") for path in installed.rglob("*.yaml"))
    assert theirs == ours


def test_the_wheel_carries_the_template_of_the_report(installed):
    assert (installed / "vsr_lightning" / "reporting" / "page.html.jinja").read_bytes() == (
        ROOT / "vsr_lightning" / "reporting" / "page.html.jinja"
    ).read_bytes()


@pytest.mark.parametrize("weights", [BUNDLED, WEIGHTS], ids=lambda path: path.stem)
def test_the_wheel_carries_the_bundled_weights_and_their_card(installed, weights):
    theirs = installed / weights.parent.relative_to(ROOT)
    assert {path.name: path.read_bytes() for path in theirs.iterdir()} == {
        path.name: path.read_bytes() for path in weights.parent.iterdir()
    }


@pytest.mark.slow
def test_the_installed_command_runs_from_an_empty_folder(installed, tmp_path):
    code = "import vsr_lightning.utils.config as c; print(c.CONF)"
    env = {**os.environ, "PYTHONPATH": str(installed)}
    where = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    assert where.stdout.strip() == str(installed / "vsr_lightning" / "conf")
    command = [sys.executable, "-m", "vsr_lightning.train", *TINY, "trainer.max_epochs=1"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "frame_fusion_fig1_mse_seed0" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
