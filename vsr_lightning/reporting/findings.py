"""Make docs/findings.md, and what README.md has of it, from the runs of a study that are kept in the repository."""

import re
from collections.abc import Mapping
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import Any

from jinja2 import Environment, StrictUndefined
from matplotlib.figure import Figure

from vsr_lightning.reporting import study_tables
from vsr_lightning.reporting.kept import keep, keep_weights
from vsr_lightning.reporting.report import png
from vsr_lightning.reporting.study import (
    CONTROL,
    START,
    Arm,
    Change,
    best,
    is_trial,
    read_study,
    read_tuning,
    runs_of_study,
)
from vsr_lightning.reporting.study_figures import picture_figure, pictures, plane
from vsr_lightning.reporting.study_tables import change_cell, column
from vsr_lightning.utils.files import write_bytes, write_text
from vsr_lightning.utils.formatting import markdown, with_interval

ORDER = ("natural_x4", "digits_x4", "digits_x2")
# treatments in the pictures, and which part of the first test video's middle frame: top, left, height, width
SHOWN = {"natural_x4": ("l1", "p01", "perceptual", "adv"), "digits_x4": ("l1", "p1", "perceptual", "adv")}
CROPS = {"natural_x4": (30, 40, 80, 80), "digits_x4": (0, 0, 64, 64)}
CURVE = ("l1", "p001", "p003", "p01", "p03", "p1", "perceptual")  # treatments by the weight of the perceptual loss
OFF_THE_CURVE, UNPAIRED = ("mse", "adv", "advp01"), "patch_distance"
IN_README = {"natural_x4": ("p01", "perceptual", "adv"), "digits_x4": ("p1", "adv")}
IN_README_BY = ("psnr", "lite1_distance", "patch_distance", "jod")
WIDTH = 120


def write_findings(study: Path | None, page: Path, readme: Path, kept: Path) -> list[str]:
    """Keep the runs of a study, make the page from its template, fill the readme; say in lines what was done.

    Of starts the weights are kept too, so that further treatments can be paired with those that are there.
    The template lies beside the page, as ``findings.md.jinja``; figures go to a folder of the page's name. The readme
    says in ``<!-- NAME -->`` and ``<!-- end of NAME -->`` where a table belongs. Pictures of frames need the networks,
    so they are drawn only from a study that is given; without one all else is made from what is kept already.

    Raises:
        FileNotFoundError: the study, the template or the readme is missing, or nothing is kept yet.
        ValueError: a sentence of the page does not hold of the runs, or a mark is of no table.
    """
    template = page.with_name(f"{page.name}.jinja")
    if missing := [path for path in (template, readme) if not path.is_file()]:
        raise FileNotFoundError(f"{missing[0]} is missing: give another --page or --readme")
    with TemporaryDirectory() as folder:  # since nothing is kept of a study whose page can't be made
        there = _with_study(study, kept, Path(folder)) if study else kept
        context = context_of(there)
        texts = {
            page: rendered(template.read_text(encoding="utf-8"), context),
            readme: filled(readme.read_text(encoding="utf-8"), readme_tables(context["arms"])),
        }
        figures = figures_of(context["arms"]) | (figures_of_weights(study) if study else {})
        drawn = {page.with_suffix("") / f"{name}.png": png(figure) for name, figure in figures.items()}
        if study:
            copytree(there, kept, dirs_exist_ok=True)
    done = [f"kept: {len(runs_of_study(kept))} runs in {kept}"] if study else []
    for path, text in texts.items():
        write_text(path, text)
    for path, picture in drawn.items():
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, picture)
    return [*done, *(f"page: {path}" for path in texts), *(f"figure: {path}" for path in drawn)]


def _with_study(study: Path, kept: Path, folder: Path) -> Path:
    """Fill a folder with what is kept already, and what is to be kept of a study's runs; return it."""
    if kept.is_dir():
        copytree(kept, folder, dirs_exist_ok=True)
    for place, result in runs_of_study(study).items():
        keep(result, folder / place, scores_of_videos=not is_trial(place))
        if place.parts[1] == START:
            keep_weights(study / place, folder / place)
    return folder


def context_of(kept: Path) -> dict[str, Any]:
    """Return what a template sees: each arm of the study by its name, the tuning, and what makes tables."""
    arms = read_study(kept)
    return {
        **arms,
        "arms": arms,
        "tuning": read_tuning(kept),
        "tables": study_tables,
        "best": best,
        "claim": claim,
    }


def rendered(template: str, context: dict[str, Any]) -> str:
    """Return a page from its template, its paragraphs broken at :data:`WIDTH` characters."""
    jinja = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    jinja.filters |= {
        "interval": lambda change: with_interval(*change.over()),
        "percent": lambda change: with_interval(*change.percent),
        "percent_mean": lambda change: f"{change.percent.mean:+.1f}",
        "cost": _cost,
        "of_hundred": lambda change: with_interval(*(100 * value for value in change.over())),
        "widest": lambda change: f"{max(map(abs, change.over()[1:])):.2f}",
        "mean": lambda found: f"{found.mean:.3g}",
        "two": lambda value: f"{value:.2f}",
    }
    return wrapped(jinja.from_string(template).render(context))


def _cost(change: Change) -> str:
    found = change.over()
    return with_interval(-found.mean, -found.high, -found.low).replace("+", "")


def claim(holds: bool, sentence: str) -> str:
    """Return nothing where a sentence of the page holds of the runs; else ValueError with the sentence."""
    if not holds:
        raise ValueError(f"the runs do not bear out the page's sentence: {sentence}")
    return ""


def wrapped(text: str) -> str:
    """Break the lines of paragraphs and lists; tables, headings, pictures and code stay as they are."""
    parts = re.split(r"(```.*?```)", text.strip() + "\n", flags=re.S)
    return "".join(it if it.startswith("```") else _paragraphs(re.sub(r"\n{3,}", "\n\n", it)) for it in parts)


def _paragraphs(text: str) -> str:
    blocks = re.split(r"(\n\s*\n)", text)
    return "".join(block if re.match(r"\s*([|#!<]|$)", block) else _block(block) for block in blocks)


def _block(text: str) -> str:
    before, body, after = re.fullmatch(r"(\s*)(.*?)(\s*)", text, re.S).groups()  # type: ignore[union-attr]
    items = re.split(r"\n(?=- )", body)
    lines = [
        fill(" ".join(it.split()), WIDTH, subsequent_indent="  " if it.startswith("- ") else "", break_long_words=False,
             break_on_hyphens=False)
        for it in items
    ]  # fmt: skip
    return before + "\n".join(lines) + after


def readme_tables(arms: Mapping[str, Arm]) -> dict[str, str]:
    """Return the tables that the readme may ask for."""
    rows = []
    for name, treatment in [(name, it) for name, treatments in IN_README.items() for it in treatments]:
        if name in arms and arms[name].has(treatment):
            arm = arms[name]
            about = {"data": name.split("_")[0], "trained on": study_tables.label(arm.runs(treatment))}
            by = [it for it in IN_README_BY if it in arm.metrics]
            rows.append(about | {column(arm, it): change_cell(arm.change(treatment, it), it) for it in by})
    return {"findings": markdown(rows)}


def figures_of(arms: Mapping[str, Arm]) -> dict[str, Figure]:
    """Return the figures that need no network."""
    there = [arms[name] for name in ORDER if name in arms]
    shown = [arm for arm in there if arm.has(CONTROL) and UNPAIRED in arm.metrics]
    titles = [arm.name.replace("_", " ") for arm in shown]
    return {"perception_distortion": plane(shown, titles, UNPAIRED, CURVE, OFF_THE_CURVE)} if shown else {}


def figures_of_weights(study: Path) -> dict[str, Figure]:
    """Return the figures that need the networks of a study, where it has all that they show."""
    arms = read_study(study)
    if not all(name in arms and arms[name].those(treatments) == list(treatments) for name, treatments in SHOWN.items()):
        return {}
    return {"pictures": picture_figure([pictures(arms[name], SHOWN[name], 0, crop) for name, crop in CROPS.items()])}


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
