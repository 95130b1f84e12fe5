import hashlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vsr_lightning.utils import download as module
from vsr_lightning.utils.download import download, reachable

CONTENT = bytes(range(256)) * 4096
REAL_REACHABLE = reachable  # a fixture takes the network away


class Server(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        if self.path == "/whole":
            self.wfile.write(CONTENT)
        elif self.path == "/half":
            self.wfile.write(CONTENT[: len(CONTENT) // 2])
        elif self.path == "/wrong":
            self.wfile.write(CONTENT[::-1])
        elif self.path == "/stall":
            self.wfile.write(CONTENT[:1000])
            self.wfile.flush()
            time.sleep(3)

    def log_message(self, *args):
        pass


@pytest.fixture
def url(monkeypatch):
    monkeypatch.setattr(module, "reachable", REAL_REACHABLE)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_whole_file_arrives_under_its_name(url, tmp_path):
    path = tmp_path / "new" / "file"
    download(
        f"{url}/whole",
        path,
        md5=hashlib.md5(CONTENT).hexdigest(),
        sha256_prefix=hashlib.sha256(CONTENT).hexdigest()[:8],
    )
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("fault", ["half", "wrong", "missing", "stall"])
def test_a_broken_download_is_never_left_under_the_final_name(url, tmp_path, fault, monkeypatch):
    monkeypatch.setattr(module, "STALL_SECONDS", 0.5)
    path = tmp_path / "file"
    with pytest.raises(OSError, match=f"download of {url}/{fault} failed"):
        download(f"{url}/{fault}", path, md5=hashlib.md5(CONTENT).hexdigest())
    assert [left.name for left in tmp_path.iterdir()] in ([], ["file.lock"])


def test_a_file_that_is_there_is_not_fetched_again(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"mine")
    download("http://nowhere.invalid/file", path)
    assert path.read_bytes() == b"mine"


def test_no_network_is_found_out_in_seconds(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "reachable", REAL_REACHABLE)
    wake = threading.Event()

    def hang(*args, **kwargs):  # a name look-up without an answer, as behind some firewalls
        wake.wait(20)
        raise OSError

    monkeypatch.setattr(module.socket, "create_connection", hang)
    begin = time.monotonic()
    assert not reachable("https://nowhere.invalid/file", seconds=0.3)
    assert time.monotonic() - begin < 5
    wake.set()
