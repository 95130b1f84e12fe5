"""Tables, figures and one page from one or several sweeps, finished or not.

python -m vsr_lightning.report runs/TIME_sweep
python -m vsr_lightning.report runs/TIME_sweep runs/OTHER_sweep --output report
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

REPORT_FOLDER = "report"


def write_report(folders: Sequence[Path], output: Path) -> Path:
    """Write a report of all runs below the folders; return its HTML page.

    Raises:
        FileNotFoundError: a folder is missing or holds no run.
    """
    from vsr_lightning.reporting.looks import look
    from vsr_lightning.reporting.page import write_page
    from vsr_lightning.reporting.results import comparable, read_results
    from vsr_lightning.reporting.sections import group_sections, made_from, stand_ins, unfinished
    from vsr_lightning.reporting.table_1 import compared

    results = read_results(folders)
    groups = comparable(results)
    sections = [section for section in (unfinished(results), compared(groups)) if section]
    for group in groups:
        sections += group_sections(group, look(group), several=len(groups) > 1)
    sections.append(made_from(results, groups))
    finished = sum(result.finished for result in results)
    summary = [f"{finished} finished runs of {len(results)}, from {', '.join(map(str, folders))}.", *stand_ins(results)]
    if len(groups) > 1:
        summary.append(f"They make {len(groups)} groups that can't be compared with each other; each says why.")
    return write_page(output, "Video super-resolution: what each loss makes", summary, sections)


def main() -> None:
    """Read the command line and print where the report is."""
    parser = argparse.ArgumentParser(
        prog="python -m vsr_lightning.report", description="Tables, figures and one page from sweeps."
    )
    parser.add_argument("sweep", nargs="+", type=Path, help="folder of a sweep, or any folder with runs below it")
    parser.add_argument(
        "--output",
        type=Path,
        help=f"folder of the report (default: {REPORT_FOLDER} in the sweep; of several, {REPORT_FOLDER} here)",
    )
    arguments = parser.parse_args()
    try:
        default = arguments.sweep[0] / REPORT_FOLDER if len(arguments.sweep) == 1 else Path(REPORT_FOLDER)
        page = write_report(arguments.sweep, arguments.output or default)
    except (OSError, ValueError) as error:
        filename, reason = getattr(error, "filename", None), getattr(error, "strerror", None)
        sys.exit(
            f"error: can't write {filename} ({reason}): choose another --output" if filename else f"error: {error}"
        )
    print(f"report: {page}")


if __name__ == "__main__":
    main()
