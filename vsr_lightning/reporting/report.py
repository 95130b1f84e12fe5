"""From sweep folders to one page."""

from collections.abc import Sequence
from pathlib import Path

from vsr_lightning.reporting.notes import data_notes
from vsr_lightning.reporting.page import write_page
from vsr_lightning.reporting.predictions import predict_group
from vsr_lightning.reporting.published_table import compared
from vsr_lightning.reporting.results import comparable, read_results
from vsr_lightning.reporting.sections import group_sections, provenance, unfinished


def write_report(folders: Sequence[Path], output: Path) -> Path:
    """Write a report of all runs below the folders; return its HTML page.

    Raises:
        FileNotFoundError: a folder is missing or holds no run.
    """
    results = read_results(folders)
    groups = comparable(results)
    sections = [section for section in (unfinished(results), compared(groups)) if section]
    for group in groups:
        sections += group_sections(group, predict_group(group), several=len(groups) > 1)
    sections.append(provenance(results, groups))
    finished = sum(result.finished for result in results)
    summary = [
        f"{finished} finished runs of {len(results)}, from {', '.join(map(str, folders))}.",
        *data_notes([(result.path.name, result.record) for result in results]),
    ]
    if len(groups) > 1:
        summary.append(f"They make {len(groups)} groups that can't be compared with each other; each says why.")
    return write_page(output, "Video super-resolution: what each loss makes", summary, sections)
