"""Which code, packages and machine a run was made by."""

import logging
import platform
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vsr_lightning.runs.comparable import leaves

log = logging.getLogger(__name__)
PACKAGES = ("vsr_lightning", "torch", "torchvision", "lightning", "torchmetrics", "hydra-core", "numpy")


def environment() -> dict[str, Any]:
    """Return the code's commit, the versions and the machine."""
    versions = {"python": platform.python_version(), **dict.fromkeys(PACKAGES)}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):  # this one may be used without being installed
            versions[package] = version(package)
    return {"git": git_state(Path(__file__).parents[2]), "versions": versions, "platform": platform.platform()}


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
    old, new = (dict(leaves({key: part.get(key) or {} for key in ("git", "versions")})) for part in (last, now))
    if changed := [key for key in old | new if old.get(key) != new.get(key)]:
        record["resumed"] = [*record.get("resumed", []), now]
        text = "; ".join(f"{key} {old.get(key)} before, {new.get(key)} now" for key in changed)
        log.warning("this run goes on under other code than it was started with: %s", text)
