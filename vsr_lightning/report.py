"""Tables, figures and one page from one or several sweeps, finished or not.

python -m vsr_lightning.report runs/TIME_sweep
python -m vsr_lightning.report runs/TIME_sweep runs/OTHER_sweep --output report
python -m vsr_lightning.report runs/TIME_sweep --votes votes.json
"""

import argparse
import sys
from pathlib import Path

from vsr_lightning.reporting import REPORT_FOLDER


def main() -> None:
    """Read the command line and print where the report is."""
    parser = argparse.ArgumentParser(
        prog="python -m vsr_lightning.report", description="Tables, figures and one page from sweeps."
    )
    parser.add_argument("sweep", nargs="+", type=Path, help="folder of a sweep, or any folder with runs below it")
    where = f"folder of the report (default: {REPORT_FOLDER} in the sweep; of several, {REPORT_FOLDER} here)"
    parser.add_argument("--output", type=Path, help=where)
    saved = "what people saved on pairs.html in the report's folder, a file each (default: none)"
    parser.add_argument("--votes", nargs="+", type=Path, default=(), help=saved)
    arguments = parser.parse_args()
    from vsr_lightning.launch.cli import print_any_character  # here, so that --help needs neither Hydra nor PyTorch
    from vsr_lightning.reporting.report import write_report
    from vsr_lightning.utils.errors import one_line

    print_any_character()
    try:
        default = arguments.sweep[0] / REPORT_FOLDER if len(arguments.sweep) == 1 else Path(REPORT_FOLDER)
        page = write_report(arguments.sweep, arguments.output or default, arguments.votes)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {one_line(error, folder='--output')}")
    print(f"report: {page}")


if __name__ == "__main__":
    main()
