import pytest

from vsr_lightning.utils.formatting import counted


@pytest.mark.parametrize(("number", "text"), [(0, "0 clips"), (1, "1 clip"), (2, "2 clips"), (1200, "1,200 clips")])
def test_a_single_one_has_no_plural(number, text):
    assert counted(number, "clip") == text
