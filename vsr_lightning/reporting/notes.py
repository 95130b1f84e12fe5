"""What the readers of a table must know: where its rows come from, and how its scores are to be read."""

from collections.abc import Mapping, Sequence
from typing import Any

from vsr_lightning.metrics import METRICS, scored_metrics
from vsr_lightning.runs.comparable import WHOLE, comparable_runs, leaves, scored_part
from vsr_lightning.utils.formatting import counted

Named = Sequence[tuple[str, Mapping[str, Any]]]


def data_notes(rows: Named) -> list[str]:
    """Return which videos and which features the rows' runs saw; a row is its name and a run's record."""
    data = {record["data"]["description"] for _, record in rows if record.get("data")}
    features = {(_network(part), part["checksum"][:12]) for _, record in rows if (part := record.get("features"))}
    about = "Features of the perceptual loss: {}, SHA-256 {}."
    return [f"Data: {it}." for it in sorted(data)] + [about.format(*it) for it in sorted(features)]


def _network(features: Mapping[str, str]) -> str:
    network = features.get("network", "VGG-19")  # once there was no other
    return f"{network} with {features['name']} weights" if network else features["name"]


def metric_notes(rows: Named) -> list[str]:
    """Return how to read the scores of the rows: directions, meanings, and which rows trained on what they measure."""
    metrics = [metric for metric in scored_metrics(record for _, record in rows).values() if metric.compared]
    notes = []
    for better, direction in ((True, "Higher"), (False, "Lower")):
        if titles := [metric.title for metric in metrics if metric.higher_is_better is better]:
            notes.append(f"{direction} is better: {', '.join(titles)}.")
    notes += [f"{metric.title}: {metric.about}." for metric in metrics if metric.about]
    for looked_through, own in _trained_on(rows).items():
        notes.append(
            f"Trained on the features of {', '.join(looked_through)}: {', '.join(own)}. "
            f"Compare these by {METRICS['haarpsi'].title} instead."
        )
    parts = sorted({scored_part(record) for _, record in rows} - {WHOLE})
    return [*notes, *(f"PSNR and SSIM: {part}; the other scores are of whole frames." for part in parts)]


def _trained_on(rows: Named) -> dict[tuple[str, ...], list[str]]:
    """Return the rows whose loss looked through the same features as metrics do, by the titles of these."""
    checksums = {part["checksum"] for _, record in rows if (part := record.get("metric_features"))}
    found: dict[tuple[str, ...], list[str]] = {}
    for name, record in rows:
        features = record.get("features") or {}
        titles = [METRICS["vgg_distance"].title] if features.get("checksum") in checksums else []
        metrics = ((record.get("config") or {}).get("module") or {}).get("metrics") or {}
        titles += [
            it["title"]
            for it in metrics.values()
            if any(key.endswith("features") and value == features.get("name") for key, value in leaves(it))
        ]
        if titles and name not in found.setdefault(tuple(titles), []):
            found[tuple(titles)].append(name)
    return found


def comparison_notes(rows: Named) -> list[str]:
    """Return which rows are not to be compared and why, which started from other weights, and which have no scores."""
    notes = []
    if apart := comparable_runs([record for _, record in rows])[1:]:
        notes.append("**Do not compare rows without a common letter in the column compare.**")
        notes += [f"{runs.letter} is apart from A because of: {runs.reason}." for runs in apart]
    notes += [
        f"{name} started from weights trained on {start['loss']}, {counted(start['epochs'], 'epoch')}: {start['path']}."
        for name, record in rows
        if (start := record.get("init_from"))
    ]
    return notes + [
        f"{name} is {record['status']}: {record.get('error', 'no scores yet')}"
        for name, record in rows
        if record["status"] != "finished"
    ]
