"""Which runs may be compared."""

import json
from typing import Any

WHOLE = "all of each frame"


def test_set(run: dict[str, Any]) -> str:
    """Return a key that two runs share if they were scored alike on the same frames, degraded alike."""
    data = run.get("data") or {}
    keys = ("checksum", "test_videos", "test_blur", "degradation")
    return json.dumps([*(data.get(key) for key in keys), scored_frames(data), scored_part(run)], sort_keys=True)


def scored_part(run: dict[str, Any]) -> str:
    """Return what of a frame a run's PSNR and SSIM looked at, in words; older runs looked at all of it."""
    scoring = run.get("scoring") or {}
    parts = ["luminance only (BT.601, 16 to 235)"] if scoring.get("luminance") else []
    parts += [f"without {crop_border} pixels at each side"] if (crop_border := scoring.get("crop_border")) else []
    return ", ".join(parts) or WHOLE


def scored_frames(data: dict[str, Any]) -> list[int]:
    """Return the first of a video's frames that was scored, and one past the last, from a run's record."""
    first, last = data.get("frame_range", (0, 20))  # runs from before there was a choice saw whole videos
    edge = data.get("frames", 5) // 2
    return list(data.get("scored", (first + edge, last - edge)))
