"""Make docs/findings.md and its figures from the runs of its study; keep of each run what they need.

python -m vsr_lightning.findings                          # docs/findings.md and README.md anew, from docs/runs/findings
python -m vsr_lightning.findings runs/findings            # keep its runs first, and draw their pictures, too
python -m vsr_lightning.findings runs/findings --rate digits_x4 p01 residual_fusion_small   # the best of those tried
python -m vsr_lightning.findings runs/findings --rate digits_x2 p01 residual_fusion_small --next 1e-4,1e-2   # if any
"""

import argparse
import sys
from pathlib import Path

PAGE, README, KEPT = Path("docs/findings.md"), Path("README.md"), Path("docs/runs/findings")


def main() -> None:
    """Read the command line and print where things are."""
    parser = argparse.ArgumentParser(
        prog="python -m vsr_lightning.findings", description="Make the page of findings from the runs of its study."
    )
    parser.add_argument("study", nargs="?", type=Path, help="folder of its runs, to keep and draw (default: as kept)")
    parser.add_argument("--page", type=Path, default=PAGE, help=f"beside which its template lies (default: {PAGE})")
    parser.add_argument("--readme", type=Path, default=README, help=f"with marks for tables (default: {README})")
    parser.add_argument("--kept", type=Path, default=KEPT, help=f"where small files of runs are kept (default: {KEPT})")
    what = ("CONDITION", "LOSS", "NETWORK")
    parser.add_argument("--rate", nargs=3, metavar=what, help="only print the learning rate that did best in a tuning")
    also = "of these rates, with --rate: only print one that is next to the best and was not tried, if there is any"
    parser.add_argument("--next", type=_rates, metavar="RATE,RATE", help=also)
    arguments = parser.parse_args()
    if arguments.next and not arguments.rate:
        parser.error("--next needs --rate CONDITION LOSS NETWORK")
    from jinja2 import TemplateError

    from vsr_lightning.launch.cli import print_any_character  # here, so that --help needs neither Hydra nor PyTorch
    from vsr_lightning.reporting.findings import write_findings
    from vsr_lightning.reporting.study import best, next_rate, trials_of
    from vsr_lightning.utils.errors import one_line

    print_any_character()
    try:
        if arguments.rate:
            trials = trials_of(arguments.study or arguments.kept, *arguments.rate)
            rate = next_rate(trials, arguments.next) if arguments.next else best(trials).rate
            print("" if rate is None else rate)
        else:
            print("\n".join(write_findings(arguments.study, arguments.page, arguments.readme, arguments.kept)))
    except (OSError, ValueError, TemplateError) as error:
        sys.exit(f"error: {one_line(error, folder='--kept or --page')}")


def _rates(text: str) -> list[float]:
    return [float(rate) for rate in text.split(",")]


if __name__ == "__main__":
    main()
