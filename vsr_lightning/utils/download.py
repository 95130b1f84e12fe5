"""One way to fetch a file: quick to give up without a network, atomic, and checked."""

import hashlib
import logging
import socket
import threading
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

import torch
from filelock import FileLock
from torchvision.datasets.utils import calculate_md5

log = logging.getLogger(__name__)
CONNECT_SECONDS = 5.0
STALL_SECONDS = 30.0


def download(url: str, path: Path, *, md5: str | None = None, sha256_prefix: str | None = None) -> None:
    """Fetch ``url`` to ``path``, once for all processes; it appears only whole and with the right checksum.

    OSError says that the host can't be reached in seconds, the transfer fails or stalls, or the checksum differs.
    """
    if path.exists():
        return
    if not reachable(url):
        raise OSError(f"{urlsplit(url).hostname} can't be reached")
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.exists():
            return
        log.info("downloading %s to %s", url, path)
        part = path.with_name(path.name + ".part")
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(STALL_SECONDS)  # torch.hub has no time-out of its own
        try:
            torch.hub.download_url_to_file(url, str(part), progress=True)
            verify(part, md5=md5, sha256_prefix=sha256_prefix)
            part.replace(path)
        except Exception as error:
            raise OSError(f"download of {url} failed: {error}") from error
        finally:
            socket.setdefaulttimeout(before)
            part.unlink(missing_ok=True)


def verify(path: Path, *, md5: str | None = None, sha256_prefix: str | None = None) -> None:
    """Raise ValueError if the file's checksum is not the expected one."""
    if md5 and (found := calculate_md5(path)) != md5:
        raise ValueError(f"{path} has MD5 {found}, expected {md5}")
    if sha256_prefix and not (found := sha256(path)).startswith(sha256_prefix):
        raise ValueError(f"{path} has SHA-256 {found}, expected one that starts with {sha256_prefix}")


def sha256(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@lru_cache  # the jobs of a sweep do not wait again, and all get the same answer
def reachable(url: str, seconds: float = CONNECT_SECONDS) -> bool:
    """Tell within ``seconds`` whether the host of ``url`` takes a connection, name look-up included."""
    parts = urlsplit(url)
    answer: list[bool] = []

    def connect() -> None:
        with suppress(OSError):
            port = parts.port or {"http": 80, "https": 443}[parts.scheme]
            socket.create_connection((parts.hostname, port), timeout=seconds).close()
            answer.append(True)

    # A thread, because a name look-up without a network can hang for minutes and takes no time-out.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answer)
