"""Fill the tables and figures of pages from runs; keep of each run what they need.

python -m vsr_lightning.findings                          # docs/findings.md and README.md anew, from docs/runs
python -m vsr_lightning.findings runs/findings_*          # keep these runs first, and draw their predictions, too
"""

import argparse
import sys
from pathlib import Path

PAGES, KEPT = (Path("docs/findings.md"), Path("README.md")), Path("docs/runs")


def main() -> None:
    """Read the command line and print where things are."""
    parser = argparse.ArgumentParser(
        prog="python -m vsr_lightning.findings", description="Fill the tables and figures of pages from runs."
    )
    parser.add_argument("runs", nargs="*", type=Path, help="folders of runs to keep and draw (default: none, as kept)")
    marked = f"markdown with marks (default: {' and '.join(map(str, PAGES))})"
    parser.add_argument("--page", nargs="+", type=Path, default=PAGES, help=marked)
    parser.add_argument("--kept", type=Path, default=KEPT, help=f"where small files of runs are kept (default: {KEPT})")
    arguments = parser.parse_args()
    from vsr_lightning.launch.cli import print_any_character  # here, so that --help needs neither Hydra nor PyTorch
    from vsr_lightning.reporting.findings import write_findings
    from vsr_lightning.utils.errors import one_line

    print_any_character()
    try:
        print("\n".join(write_findings(arguments.runs, arguments.page, arguments.kept)))
    except (OSError, ValueError) as error:
        sys.exit(f"error: {one_line(error, folder='--kept or --page')}")


if __name__ == "__main__":
    main()
