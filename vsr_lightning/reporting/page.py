"""A report's files: markdown, csv, PNG, and one HTML page that needs nothing beside itself."""

import base64
import csv
import io
import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from vsr_lightning.reporting.sections import Rows, Section
from vsr_lightning.utils.files import write_bytes, write_text
from vsr_lightning.utils.formatting import markdown

PAGE_FILE = "index.html"
OURS = re.compile(
    r"(table_1|differences|curves|strip|plane|losses|unfinished|published_procedure|made_from)(_[a-z])?\.(csv|png)"
)


def write_page(folder: Path, title: str, summary: Sequence[str], sections: Sequence[Section]) -> Path:
    """Write all of a report's files; return the HTML page."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if OURS.fullmatch(old.name):  # of an earlier report, which may have had other groups
            old.unlink()
    pictures = {section.name: png(section.figure) for section in sections if section.figure}
    for section in sections:
        if section.rows:
            write_text(folder / f"{section.name}.csv", to_csv(section.numbers or section.rows))
        if section.figure:
            write_bytes(folder / f"{section.name}.png", pictures[section.name])
    write_text(folder / "report.md", to_markdown(title, summary, sections))
    environment = Environment(loader=PackageLoader("vsr_lightning", "reporting"), autoescape=True)
    inline = {name: base64.b64encode(picture).decode() for name, picture in pictures.items()}
    html = environment.get_template("page.html.jinja").render(
        title=title, summary=summary, sections=sections, pictures=inline
    )
    write_text(folder / PAGE_FILE, html)
    return folder / PAGE_FILE


def to_markdown(title: str, summary: Sequence[str], sections: Sequence[Section]) -> str:
    """Return the report as markdown, its pictures as links to the files beside it."""
    parts = [f"# {title}", *summary]
    for section in sections:
        parts += [f"## {section.title}", *section.text]
        parts += [markdown(section.rows)] if section.rows else []
        parts += [f"![{section.alt}]({section.name}.png)"] if section.figure else []
    return "\n\n".join(parts) + "\n"


def to_csv(rows: Rows) -> str:
    """Return rows as csv; a key that a row lacks is an empty cell."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
