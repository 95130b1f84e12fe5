"""Files that are never seen half-written."""

import json
import os
from pathlib import Path
from typing import Any


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
