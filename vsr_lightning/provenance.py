"""What a run was made from, in one ``run.json`` that is whole at any moment."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("vsr_lightning", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "numpy")
RUN_FILE = "run.json"


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that ``path`` is never seen half-written."""
    write_text(path, json.dumps(content, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text so that ``path`` is never seen half-written."""
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes so that ``path`` is never seen half-written."""
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)


def read_runs(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Return each run's folder and ``run.json`` below ``folder``, in the folders' order."""
    files = sorted(folder.rglob(RUN_FILE), key=lambda path: _by_number(path.parent))
    return [(path.parent, json.loads(path.read_text(encoding="utf-8"))) for path in files]


def leaves(config: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a config's values with their dotted keys."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _by_number(folder: Path) -> tuple[int, str]:
    number = folder.name.split("_")[0]
    return (int(number) if number.isdigit() else sys.maxsize, str(folder))


def environment() -> dict[str, Any]:
    """Return the code's commit, the versions and the machine."""
    return {
        "git": git_state(Path(__file__).parent.parent),
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "platform": platform.platform(),
    }


def git_state(root: Path) -> dict[str, Any] | None:
    """Return ``{"commit": ..., "dirty": ...}`` of the checkout at ``root``, None if it is none."""
    # an installed package may lie inside somebody else's repository: ask only at our own root
    if not (root / ".git").exists():
        return None
    try:
        commit, status = (
            subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, check=True).stdout.strip()
            for args in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return {"commit": commit, "dirty": bool(status)}


def peak_memory_mb() -> float | None:
    """Return the most memory this process has held so far, in MB (10^6 bytes); None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
