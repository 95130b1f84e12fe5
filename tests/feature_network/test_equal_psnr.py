import sys

import pytest
import torch

from vsr_lightning.data.moving_mnist.generated import generate
from vsr_lightning.feature_network.distortions import blur
from vsr_lightning.feature_network.equal_psnr import at_psnr, distort_to_equal_psnr, preference_rows
from vsr_lightning.launch.cli import run_cli
from vsr_lightning.metrics import frame_scores
from vsr_lightning.preferences import main


@pytest.fixture
def sharp():
    return torch.from_numpy(generate(range(8000, 8006))[:, 3, None]).float() / 255


def test_all_distortions_have_the_psnr_of_a_shift_by_one_pixel(sharp):
    distorted = distort_to_equal_psnr(sharp, torch.Generator().manual_seed(0))
    psnr = {name: frame_scores(images, sharp)["psnr"] for name, images in distorted.items()}
    assert list(psnr) == ["shift", "blur", "noise", "missing strokes"]
    for other in psnr.values():
        torch.testing.assert_close(other, psnr["shift"], atol=0.01, rtol=0)


def test_a_psnr_out_of_reach_is_an_error(sharp):
    with pytest.raises(ValueError, match="misses the PSNR asked for"):
        at_psnr(lambda level: blur(sharp, level), sharp, torch.full((6,), 3.0))


def test_a_row_counts_the_images_in_which_the_first_is_closer(sharp):
    distorted = {"a": sharp + 0.1, "b": sharp + torch.tensor([0.2, 0.2, 0.2, 0.0, 0.0, 0.0])[:, None, None, None]}
    (row,) = preference_rows(distorted, sharp, {"mean": lambda x, y: (x - y).abs().flatten(1).mean(1)})
    assert row == {"prefers": "a", "to": "b", "mse": "equal", "mean": "50 %"}


def test_the_command_prints_the_table_and_leaves_it_with_a_picture(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["preferences", "frames=4", "data.source=generated", "hydra.run.dir=run"])
    run_cli(main, "preferences")
    text = (tmp_path / "run" / "preferences.md").read_text()
    assert text in capsys.readouterr().out
    lines = text.splitlines()
    assert [name.strip() for name in lines[0].split("|")[1:-1]] == [
        "prefers", "to", "mse", "perceptual, random", "perceptual, bundled", "HaarPSI", "SSIM",
    ]  # fmt: skip
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| ")][2:]
    assert len(rows) == 6
    (row,) = [row for row in rows if row[:2] == ["shift", "noise"]]
    assert row[2:] == ["equal", *["100 %"] * 4]  # whatever a criterion makes of the others
    assert "Data: generated from scikit-learn's digits" in text
    assert (tmp_path / "run" / "distortions.png").read_bytes().startswith(b"\x89PNG")
