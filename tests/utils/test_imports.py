"""Any module can be the first one that a program imports."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import vsr_lightning

ROOT = Path(vsr_lightning.__path__[0])


def _imported(tree):
    """Yield the package's modules that a module imports when it is imported itself."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vsr_lightning"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _packages(name):
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def test_no_modules_import_each_other_in_a_circle():
    paths = {
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
        for path in ROOT.rglob("*.py")
    }
    graph = {}
    for name, path in paths.items():
        needed = {module for module in _imported(ast.parse(path.read_text(encoding="utf-8"))) if module in paths}
        needed |= {package for module in needed for package in _packages(module)}
        graph[name] = needed - {name, *_packages(name)}
    assert len(graph) > 50
    TopologicalSorter(graph).prepare()  # a CycleError names the circle
