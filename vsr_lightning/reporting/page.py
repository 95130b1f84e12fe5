"""A report's files: markdown, csv, PNG, and one HTML page that needs nothing beside itself."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from vsr_lightning.reporting.sections import Section
from vsr_lightning.utils.files import write_bytes, write_text
from vsr_lightning.utils.formatting import csv_text, markdown

PAGE_FILE = "index.html"
WRITTEN = ".written"  # names the files of a report, so that the next one can remove those that it no longer has


def write_page(folder: Path, title: str, summary: Sequence[str], sections: Sequence[Section]) -> Path:
    """Write all of a report's files; return the HTML page."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {section.name: png(section.figure) for section in sections if section.figure}
    files = {f"{name}.png": picture for name, picture in pictures.items()}
    files |= {f"{part.name}.csv": csv_text(part.numbers or part.rows).encode() for part in sections if part.rows}
    files["report.md"] = to_markdown(title, summary, sections).encode()
    for name in (folder / WRITTEN).read_text().splitlines() if (folder / WRITTEN).exists() else ():
        if name not in files:
            (folder / name).unlink(missing_ok=True)
    write_text(folder / WRITTEN, "\n".join(files))
    for name, content in files.items():
        write_bytes(folder / name, content)
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


def png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    return buffer.getvalue()
