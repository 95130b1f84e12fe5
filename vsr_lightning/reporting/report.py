"""From sweep folders to a report: markdown, csv, PNG, and one HTML page that needs nothing beside itself."""

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from vsr_lightning.reporting.notes import data_notes
from vsr_lightning.reporting.pairs import Pairs, draw_pairs, read_pairs
from vsr_lightning.reporting.people_sections import people_sections
from vsr_lightning.reporting.predictions import predict_group
from vsr_lightning.reporting.published_table import compared
from vsr_lightning.reporting.results import Group, comparable, read_results
from vsr_lightning.reporting.sections import Section, group_sections, provenance, unfinished
from vsr_lightning.reporting.votes import read_votes
from vsr_lightning.utils.files import write_bytes, write_text
from vsr_lightning.utils.formatting import csv_text, markdown

PAGE_FILE = "index.html"
WRITTEN = ".written"  # names the files of a report, so that the next one can remove those that it no longer has


def write_report(folders: Sequence[Path], output: Path, votes: Sequence[Path] = ()) -> Path:
    """Write a report of all runs below the folders; return its HTML page.

    Files of votes are of pages of pairs that lie in ``output``: it says what people chose on these and leaves them as
    they are. Other pages are drawn anew.

    Raises:
        FileNotFoundError: a folder is missing or holds no run.
        ValueError: a file of votes is damaged, or does not belong to a page of these runs in ``output``.
    """
    results = read_results(folders)
    groups = comparable(results)
    voted = read_votes(votes, read_pairs(output) if votes else [])
    for page, _ in voted.values():
        _check_shown(page, groups)
    sections = [section for section in (unfinished(results), compared(groups)) if section]
    beside: dict[str, bytes] = {}
    for group in groups:
        predictions = predict_group(group)
        name = f"pairs_{group.name.lower()}" if len(groups) > 1 else "pairs"
        people: list[Section] = []
        drawn, choices = voted.get(group.name) or (draw_pairs(predictions.clips, group.name), None)
        if drawn:
            beside |= {f"{name}.html": drawn.html.encode(), f"{name}.json": drawn.key.encode()}
            people = people_sections(drawn, f"{name}.html", choices)
        sections += group_sections(group, predictions, people, several=len(groups) > 1)
    sections.append(provenance(results, groups))
    finished = sum(result.finished for result in results)
    summary = [
        f"{finished} finished runs of {len(results)}, from {', '.join(map(str, folders))}.",
        *data_notes([(result.path.name, result.record) for result in results]),
    ]
    if len(groups) > 1:
        summary.append(f"They make {len(groups)} groups that can't be compared with each other; each says why.")
    return write_page(output, "Video super-resolution: what each loss makes", summary, sections, beside)


def _check_shown(page: Pairs, groups: Sequence[Group]) -> None:
    """Raise ValueError unless the page's group has all conditions that it shows."""
    has = {condition.label for group in groups if group.name == page.group for condition in group.conditions}
    if missing := [label for label in page.conditions.values() if label not in has]:
        raise ValueError(
            f"the page of pairs in the report's folder shows {missing[0]}, which these sweeps do not have: name the "
            "sweeps of that report, or write it without --votes and vote on its new page"
        )


def write_page(
    folder: Path, title: str, summary: Sequence[str], sections: Sequence[Section], beside: Mapping[str, bytes]
) -> Path:
    """Write all of a report's files, those that lie ``beside`` its page as well; return the HTML page."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {section.name: png(section.figure) for section in sections if section.figure}
    files = {f"{name}.png": picture for name, picture in pictures.items()}
    files |= {f"{part.name}.csv": csv_text(part.numbers or part.rows).encode() for part in sections if part.rows}
    parts = [f"# {title}", *summary]
    for section in sections:
        parts += [f"## {section.title}", *section.text]
        parts += [markdown(section.rows)] if section.rows else []
        parts += [f"![{section.alt}]({section.name}.png)"] if section.figure else []
    files |= beside
    files["report.md"] = ("\n\n".join(parts) + "\n").encode()
    for name in (folder / WRITTEN).read_text().splitlines() if (folder / WRITTEN).exists() else ():
        if name not in files:
            (folder / name).unlink(missing_ok=True)
    write_text(folder / WRITTEN, "\n".join(files))
    for name, content in files.items():
        write_bytes(folder / name, content)
    environment = Environment(loader=PackageLoader("vsr_lightning", "reporting"), autoescape=True)
    inline = {name: base64.b64encode(picture).decode() for name, picture in pictures.items()}
    page = environment.get_template("page.html.jinja")
    write_text(folder / PAGE_FILE, page.render(title=title, summary=summary, sections=sections, pictures=inline))
    return folder / PAGE_FILE


def png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
