"""Which code, packages and machine a run was made by."""

import logging
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vsr_lightning.runs.comparable import leaves

log = logging.getLogger(__name__)
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


def add_resume(record: dict[str, Any]) -> None:
    """Add to ``record["resumed"]`` that a run goes on under another commit or other packages, and warn of it once."""
    now = environment()
    last = [record, *record.get("resumed", [])][-1]
    then_is, now_is = (dict(leaves({key: part.get(key) or {} for key in ("git", "versions")})) for part in (last, now))
    changed = [
        f"{key} {then_is.get(key)} before, {now_is.get(key)} now"
        for key in {**then_is, **now_is}
        if then_is.get(key) != now_is.get(key)
    ]
    if changed:
        record["resumed"] = [*record.get("resumed", []), now]
        log.warning("this run goes on under other code than it was started with: %s", "; ".join(changed))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
