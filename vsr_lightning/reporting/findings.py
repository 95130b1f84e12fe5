"""Fill the tables and figures of pages from runs."""

import re
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from vsr_lightning.reporting.figures import comparison_figure
from vsr_lightning.reporting.findings_tables import fine_tuned, keep, largest, perception_distortion_figures, tables
from vsr_lightning.reporting.predictions import SHOWN, predict_group
from vsr_lightning.reporting.report import png
from vsr_lightning.reporting.results import Group, comparable, read_results
from vsr_lightning.utils.files import write_bytes, write_text


def write_findings(folders: Sequence[Path], pages: Sequence[Path], kept: Path) -> list[str]:
    """Keep the runs below the folders and fill pages from all that are kept; return what was done, in lines.

    A page says in ``<!-- NAME -->`` and ``<!-- end of NAME -->`` where a table belongs; what stands outside is left
    as it is. Figures that a page names go to a folder beside the first page, of its name.

    Raises:
        FileNotFoundError: a folder, or a page, is missing or empty.
        ValueError: a page has a mark of no table, or one without its end.
    """
    done = []
    results = [result for result in read_results(folders) if result.finished]
    for result in results:
        keep(result, kept)
    if results:
        done.append(f"kept: {len(results)} runs in {kept}")
    if missing := [page for page in pages if not page.is_file()]:
        raise FileNotFoundError(f"{missing[0]} is missing: give another --page")
    groups = comparable(read_results([kept]))
    made, figures = tables(groups), perception_distortion_figures(groups)
    if from_scratch := [group for group in comparable(results) if not fine_tuned(group)]:
        shown = predict_group(group := largest(from_scratch), videos=SHOWN).pictures
        if shown:
            figures |= {"comparison": comparison_figure(shown), "readme": comparison_figure(of_best(group, shown))}
    for page in pages:
        write_text(page, filled(page.read_text(encoding="utf-8"), made))
        done.append(f"page: {page}")
    text = "".join(page.read_text(encoding="utf-8") for page in pages)
    for name in [name for name in figures if f"/{name}.png" in text]:
        path = pages[0].with_suffix("") / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, png(figures[name]))
        done.append(f"figure: {path}")
    return done


def of_best(group: Group, pictures: dict[str, Tensor], videos: int = 2) -> dict[str, Tensor]:
    """Return few of the pictures: truth, bicubic, and the network with the highest PSNR under MSE and perceptual."""
    trained = [c for c in group.conditions if c.results[0].trained and len(c.scores("psnr"))]
    trained.sort(key=lambda condition: -condition.scores("psnr").mean())
    made_by = {condition.label: condition.results[0].record for condition in trained}
    best = [next(iter(made_by.values()))["model"]] if made_by else []
    kept = [name for name, it in made_by.items() if it["model"] in best and it["loss"] in ("mse", "perceptual")]
    return {name: pictures[name][:videos] for name in ("truth", "bicubic", *kept) if name in pictures}


def filled(text: str, tables: dict[str, str]) -> str:
    """Return a page with its tables between their marks; see :func:`write_findings`."""
    for name in re.findall(r"<!-- (\w+) -->", text):
        if name not in tables:
            raise ValueError(f"the page asks for a table {name}: choose among {', '.join(tables)}")
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if end not in text:
            raise ValueError(f"the page has {begin} without {end} after it")
        before, after = text.split(begin)[0], text.split(end, 1)[1]
        text = f"{before}{begin}\n\n{tables[name]}\n\n{end}{after}"
    return text
