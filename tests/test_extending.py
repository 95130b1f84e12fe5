"""The README's example of a loss of one's own, as it stands there."""

import csv
import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def _block(name):
    lines = README.read_text().split(f"    # {name}\n")[1].splitlines()
    end = next(i for i, line in enumerate(lines) if (line and not line.startswith("    ")) or line.startswith("    # "))
    return "\n".join(line[4:] for line in lines[:end]) + "\n"


def test_a_loss_is_one_class_one_yaml_and_one_test(vsr, tmp_path, monkeypatch):
    (tmp_path / "my_losses.py").write_text(_block("my_losses.py"))
    (tmp_path / "conf" / "loss").mkdir(parents=True)
    (tmp_path / "conf" / "loss" / "edge.yaml").write_text(_block("conf/loss/edge.yaml"))
    monkeypatch.syspath_prepend(tmp_path)
    vsr("-m", "loss=mse,edge", f"hydra.searchpath=[file://{tmp_path}/conf]", "trainer.max_epochs=1",
        "hydra.sweep.dir=sweep")  # fmt: skip
    rows = list(csv.DictReader((tmp_path / "sweep" / "report" / "losses.csv").open()))
    assert [row["condition"] for row in rows] == ["mse", "edge", "bicubic"]
    assert all(0 < float(row["edge"]) < 1 for row in rows)

    namespace = {}
    imports = "import pytest, torch\nfrom my_losses import Edge\n"
    exec(imports + _block("tests/test_my_losses.py"), namespace)
    (check,) = (value for name, value in namespace.items() if re.match("test_", name))
    check()
