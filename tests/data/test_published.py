import numpy as np
import pytest

from vsr_lightning.data.moving_mnist import published
from vsr_lightning.data.moving_mnist.published import open_published, path_under
from vsr_lightning.data.moving_mnist.source import load_videos
from vsr_lightning.data.videos import checksum

USED = (range(6), range(8000, 8002))


def test_the_file_is_memory_mapped_not_read(published_root):
    videos = open_published(path_under(published_root))
    assert videos.shape == (10_000, 20, 64, 64)
    assert isinstance(videos.base, np.memmap)
    assert not videos.flags.writeable


def test_a_file_with_another_checksum_is_used_and_named_as_such(published_root, caplog):
    videos = load_videos("auto", published_root, USED)
    assert videos.name == f"file {videos.checksum[:8]}"
    assert "not the published file" in videos.description
    assert "not the published Moving MNIST" in caplog.text
    assert videos.frames[8001].any()


def test_the_published_file_is_recognised_by_its_checksum(published_root, monkeypatch):
    monkeypatch.setattr(published, "MD5", checksum(path_under(published_root)))
    assert load_videos("published", published_root, USED).name == "published"


def _truncated(path):
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": published.SHAPE})
        file.write(b"\0" * 1000)


BAD = {
    "it is empty": lambda path: path.write_bytes(b""),
    "it is not a .npy file": lambda path: path.write_bytes(b"<html>not found</html>"),
    "it is cut short or damaged": _truncated,
    "its values are float32": lambda path: np.save(path, np.zeros((20, 2, 64, 64), np.float32)),
    r"its shape is \(20, 2, 64, 64\)": lambda path: np.save(path, np.zeros((20, 2, 64, 64), np.uint8)),
    "it can't be read": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("message", BAD)
@pytest.mark.parametrize("source", ["published", "auto"])
def test_a_file_that_cannot_be_used_gives_one_clear_error(tmp_path, message, source):
    path = path_under(tmp_path)
    path.parent.mkdir()
    BAD[message](path)
    with pytest.raises(ValueError, match=message) as error:
        load_videos(source, tmp_path, USED)
    assert str(path) in str(error.value)
    assert "expected a .npy file of uint8 with shape (20, 10000, 64, 64)" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_file_without_download_says_what_to_set(tmp_path):
    with pytest.raises(
        OSError,
        match=r"is missing .*: put .*data\.download=true, or choose data\.source=generated",
    ):
        load_videos("published", tmp_path, USED, download=False)


def test_published_is_strict_without_a_network(tmp_path):
    with pytest.raises(OSError, match="can't be reached"):
        load_videos("published", tmp_path, USED)


def test_auto_falls_back_to_generated_loudly(tmp_path, caplog):
    videos = load_videos("auto", tmp_path, USED)
    assert videos.name == "generated"
    assert not list(tmp_path.iterdir())
    assert "data.source=published makes this an error" in caplog.text
    assert len(caplog.text.strip().splitlines()) == 1


def test_generated_fills_only_the_rows_in_use_and_writes_nothing(tmp_path):
    videos = load_videos("generated", tmp_path, USED)
    assert videos.frames[5].any()
    assert videos.frames[8001].any()
    assert not videos.frames[6].any()
    assert not list(tmp_path.iterdir())


def test_generated_sets_of_other_seeds_have_other_checksums(tmp_path):
    assert load_videos("generated", tmp_path, USED, 0).checksum != load_videos("generated", tmp_path, USED, 1).checksum


def test_an_unknown_source_names_the_choices(tmp_path):
    with pytest.raises(ValueError, match="choose one of auto, published, generated"):
        load_videos("mnist", tmp_path, USED)
