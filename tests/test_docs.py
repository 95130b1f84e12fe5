"""The pages keep to their commands, keys, files and tests: what is renamed in the code fails here."""

import ast
import contextlib
import io
import re
import shutil
import subprocess
import sys
from functools import lru_cache
from importlib import import_module
from itertools import takewhile
from pathlib import Path

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import instantiate
from omegaconf import OmegaConf

from vsr_lightning.metrics import METRICS
from vsr_lightning.runs.read_record import read_record
from vsr_lightning.utils.config import CONF
from vsr_lightning.utils.formatting import duration

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
if shutil.which("bash") is None or sys.platform == "win32":
    pytest.skip("takes commands apart by bash", allow_module_level=True)

PAGES = [README, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HYDRA = ("train", "evaluate", "predict", "pretrain", "preferences")  # commands with a config of their own
ARGPARSE = ("report", "findings")
ELSEWHERE = ("ray", "submitit_local")  # choices of Hydra's plugins
TOP = {*yaml.safe_load((CONF / "train.yaml").read_text()), *(path.name for path in CONF.iterdir())}
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)


@pytest.fixture(autouse=True, scope="module")
def _examples(tmp_path_factory):
    """Let the commands start where the configs of docs/extending.md lie."""
    with pytest.MonkeyPatch.context() as context:
        context.chdir(tmp_path_factory.mktemp("examples"))
        for text in _blocks(ROOT / "docs" / "extending.md", "yaml"):
            path = Path(text.splitlines()[0].removeprefix("# "))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        yield


def _blocks(page, language):
    return [text for found, text in FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


def _prose(page):
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def _spans(page):
    """Return what stands between backticks outside fenced blocks."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", _prose(page))


@lru_cache
def _words(page):
    """Return the commands of a page's bash blocks as lists of words, as bash itself takes them apart.

    Each program in them is a function that prints its words, so that variables and loops mean what they say.
    """
    stubs = "".join(
        f"{name}() {{ printf '%s\\0' {name} \"$@\"; printf '\\n'; }}\n"
        for name in ("python", "torchrun", "make", "git", "pip", "source", "cd", "pre-commit")
    )
    script = stubs + "\n".join(_blocks(page, "bash"))
    done = subprocess.run(["bash", "-euf", "-c", script], capture_output=True, check=True, text=True)
    return [line.split("\0")[:-1] for line in done.stdout.splitlines()]


def commands(page):
    """Return (command, words after it) of each ``python -m vsr_lightning.COMMAND`` on a page."""
    for words in _words(page):
        for i, word in enumerate(words):
            if word.startswith("vsr_lightning.") and words[i - 1] == "-m":
                yield word.removeprefix("vsr_lightning."), words[i + 1 :]


def _slug(heading):
    """Return a heading's anchor as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower().strip()).replace(" ", "-")


@lru_cache
def _keys():
    """Return every key that some config of ours has, dotted, as the command line takes it."""

    def flat(node, prefix=""):
        for key, child in node.items():
            name = f"{prefix}{key}"
            yield name
            if isinstance(child, dict):
                yield from flat(child, f"{name}.")

    found = {"hydra.searchpath"}
    for path in CONF.rglob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        group = "" if path.parent == CONF or "@package _global_" in text else f"{path.parent.relative_to(CONF)}."
        found |= set(flat(yaml.safe_load(text) or {}, group.replace("hydra/launcher", "hydra.launcher")))
    return found


# ---------------------------------------------------------------------------------------------------------------- form


def test_the_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 170


@each_page
def test_lines_have_at_most_120_characters_outside_tables_and_links(page):
    lines = page.read_text(encoding="utf-8").splitlines()
    plain = [re.sub(r"\]\([^)]*\)", "]()", line) for line in lines if not line.startswith("|")]
    assert not [line for line in plain if len(line) > 120]


@each_page
def test_links_lead_to_files_and_headings(page):
    for target in re.findall(r"\]\(([^)]+)\)", _prose(page)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        headings = re.findall(r"^#+ (.*)$", FENCE.sub("", file.read_text(encoding="utf-8")), re.M) if anchor else []
        assert not anchor or anchor in map(_slug, headings), target


@each_page
def test_code_is_fenced_with_its_language(page):
    opened = re.findall(r"^```.*$", page.read_text(encoding="utf-8"), re.M)[::2]
    assert set(opened) <= {"```bash", "```python", "```yaml", "```text", "```sh"}  # sh: with choices of one's own
    assert not re.findall(r"^ {4}python ", page.read_text(encoding="utf-8"), re.M)


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_every_page_is_found_from_the_readme(page):
    assert f"](docs/{page.name})" in README.read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------------------- content


@each_page
def test_every_command_composes(page):
    for command, words in commands(page):
        if command not in HYDRA:
            _assert_options_exist(command, [word for word in words if word.startswith("--")])
            continue
        overrides = overrides_of(words)
        assert all(_exists(key, value) for key, values in overrides.items() for value in values), words
        groups = tuple(f"{key}={values[0]}" for key, values in overrides.items() if (CONF / key).is_dir())
        config = composed(command, groups)
        for key in overrides:
            assert (CONF / key).is_dir() or key.startswith("++") or _has(config, key), f"{command} {key}"


def _exists(key, value):
    """Return whether there is such a choice, if this key is one of choices; several stand in a list."""
    names = value.strip("[]").split(",")
    return not (CONF / key).is_dir() or all(
        any((conf / key / f"{name}.yaml").exists() for conf in (CONF, Path("conf")))
        or name in ELSEWHERE
        or name.isupper()
        for name in names
    )


def overrides_of(words):
    """Return the values of each override of a command, in Hydra's grammar; several need ``-m``."""
    given = OverridesParser.create().parse_overrides([word for word in words if re.match(r"[\w+~/.@]+=", word)])
    values = {
        entry.input_line.partition("=")[0]: list(entry.sweep_string_iterator())
        if entry.is_sweep_override()
        else [entry.input_line.partition("=")[2]]
        for entry in given
    }
    assert "-m" in words or all(len(of) == 1 for of in values.values()), words
    return values


@lru_cache
def composed(command, groups):
    """Return a command's config for some choices."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, list(groups), return_hydra_config=True)


def _has(config, key):
    *parents, last = key.split(".")
    node = OmegaConf.select(config, ".".join(parents)) if parents else config
    return last in list(node)  # a DictConfig says that it has no key whose value is missing


def _assert_options_exist(command, options):
    assert command in ARGPARSE, command
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as context, contextlib.redirect_stdout(out):
        context.setattr(sys, "argv", [command, "--help"])
        with contextlib.suppress(SystemExit):
            import_module(f"vsr_lightning.{command}").main()
    assert all(option in out.getvalue() for option in options), options


@each_page
def test_every_key_and_choice_that_is_named_exists(page):
    known = _keys()
    for span in _spans(page):
        for word in span.split():
            key, _, value = word.lstrip("+~").partition("=")
            if not re.fullmatch(r"[a-z_]+(/[a-z_]+)?(\.[a-zA-Z]\w*)*", key):
                continue
            top = key.partition(".")[0]
            assert not value or _exists(key, value), span
            if top in TOP and "." in key and not key.endswith((".py", ".json", ".md", ".csv", ".log", ".ckpt")):
                assert key.startswith(("loss.terms.", "loss.losses.")) or key in known, span


@each_page
def test_every_make_target_exists(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    named = {words[1] for words in _words(page) if words[0] == "make" and len(words) > 1}
    named |= {span.split()[1] for span in _spans(page) if re.match(r"make [a-z]", span)}
    assert named <= targets


@each_page
def test_every_file_and_test_that_is_named_exists(page):
    for span in _spans(page):
        if not re.match(r"(vsr_lightning|tests|conf|docs|benchmarks|notebooks|\.ci|\.github)/", span):
            continue
        path, _, name = span.partition("::")
        if any(part.partition(".")[0].isupper() for part in path.split("/")):  # a placeholder
            continue
        assert (ROOT / path).exists(), span
        if name:
            assert name in _functions(ROOT / path), span


@lru_cache
def _functions(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_reliability_page_has_a_test_for_every_promise():
    rows = re.findall(r"^\| (?!promise|what|-)(.*) \| (.*) \|$", _prose(ROOT / "docs" / "reliability.md"), re.M)
    promises = list(takewhile(lambda row: "tests/" in row[1], rows))
    assert len(promises) > 40
    assert len({test for _, test in promises}) == len(promises)


def test_every_metric_is_described():
    rows = re.findall(r"^\| `(\w+)` \| (higher|lower) \|", _prose(ROOT / "docs" / "metrics.md"), re.M)
    described = {name: direction == "higher" for name, direction in rows}
    chosen = [OmegaConf.load(path) for path in sorted((ROOT / "conf" / "metrics").glob("*.yaml"))]
    asked_for = {name: own.higher_is_better for file in chosen for name, own in file.items()}
    ours = {name: metric.higher_is_better for name, metric in METRICS.items() if "published" not in name}
    assert described == ours | asked_for


def test_the_recipes_table_is_that_of_the_kept_records():
    kept = set()
    for path in (ROOT / "docs" / "recipes").glob("*/run.json"):
        if path.parent.name.endswith("_adam"):  # of an earlier version of the recipe, for the log
            continue
        record = read_record(path.parent)
        network, scores = instantiate(record["config"]["model"]), record["scores"]
        parameters = sum(parameter.numel() for parameter in network.parameters()) / 1e6
        cells = [f"`{path.parent.name}`", str(network.scale), f"{parameters:.2f} M", duration(record["wall_time_s"])]
        cells += [f"{scores[name]:{METRICS[name].form}}" for name in ("psnr", "ssim", "haarpsi", "vgg_distance")]
        kept.add(f"| {' | '.join(cells)} |")
    rows = re.findall(r"^\| `\w+` \| \d \| [\d.]+ M \| .*$", _prose(ROOT / "docs" / "models_and_losses.md"), re.M)
    assert len(rows) > 4
    assert set(rows) == kept


def test_the_readmes_example_is_that_of_the_page_on_extending():
    page = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
    for language in ("python", "yaml"):
        (example,) = _blocks(README, language)
        assert all(line in page for line in example.splitlines())  # which has a docstring besides
