"""What a run was made from, in one ``run.json`` that is whole at any moment."""

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("vsr_lightning", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "numpy")


def environment() -> dict[str, Any]:
    """Return the code's commit, the versions and the machine."""
    return {
        "git": git_state(Path(__file__).parents[2]),
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
