"""A module imports only from the layers below it, and only the command line prints, exits or reads the environment."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import emotions_cli

PACKAGE = "emotions_cli"
ROOT = Path(emotions_cli.__file__).parent

# first name below the package -> layer; the package's own __init__ is the door to what users import
LAYERS = {
    "errors": 0,
    "labels": 0,
    "extras": 0,
    "settings": 1,
    "streams": 1,
    "metrics": 1,
    "hub_client": 1,
    "wandb_client": 1,
    "encoding": 1,
    "data": 2,
    "models": 2,
    "tracking": 2,
    "runtime": 2,
    "export": 3,
    "training": 4,
    "inference": 4,
    "sweep": 5,
    "evaluation": 5,
    "answering": 5,
    "__init__": 6,
    "cli": 6,
    "__main__": 7,
}

# inside a layer: the errors are below all, labels and extras raise them
SAME_LAYER = {("labels", "errors"), ("extras", "errors")}

MODULES = sorted(ROOT.rglob("*.py"))


def part_of(path: Path) -> str:
    """The first name below the package that a file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def parts_below(module: str, names: list[str]) -> Iterator[str]:
    """The parts of the package that ``from module import names`` takes from."""
    first, *below = module.split(".")
    if first != PACKAGE:
        return
    if below:
        yield below[0]
        return
    for name in names:
        # the version is a constant of the door, beside which nothing is imported
        if name != "__version__":
            yield name if name in LAYERS else "__init__"


def imports_of(tree: ast.Module, path: Path) -> Iterator[tuple[int, str]]:
    """Line and part of the package of every import, also inside functions and for type checkers alone."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from ((node.lineno, part) for part in parts_below(alias.name, ["*"]))
        elif isinstance(node, ast.ImportFrom):
            package = [PACKAGE, *path.relative_to(ROOT).parent.parts]
            base = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield from ((node.lineno, part) for part in parts_below(module, [alias.name for alias in node.names]))
        elif isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in {"import_module", "__import__"}:
            given = node.args[0]
            # a name that is made up at run time could hide anything
            module = given.value if isinstance(given, ast.Constant) else PACKAGE
            yield from ((node.lineno, part) for part in parts_below(str(module), ["*"]))


def dotted(node: ast.AST) -> str:
    """``a.b.c`` for names and attributes, else an empty string."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def allowed(importer: str, imported: str) -> bool:
    return (
        importer == imported
        or LAYERS.get(imported, 99) < LAYERS[importer]
        or (LAYERS.get(imported) == LAYERS[importer] and (importer, imported) in SAME_LAYER)
    )


def violations(tree: ast.Module, path: Path) -> list[str]:
    importer = part_of(path)
    return [
        f"{name_of(path)}:{line} {importer} imports {imported}"
        for line, imported in imports_of(tree, path)
        if not allowed(importer, imported)
    ]


def test_every_module_has_a_layer_and_every_layer_a_module() -> None:
    assert {part_of(path) for path in MODULES} == set(LAYERS)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_imports_only_from_layers_below(path: Path) -> None:
    assert violations(tree_of(path), path) == []


def test_training_and_inference_never_meet() -> None:
    pairs = {(part_of(path), part) for path in MODULES for _, part in imports_of(tree_of(path), path)}
    assert pairs & {("training", "inference"), ("inference", "training")} == set()
    assert {("training", "models"), ("inference", "models")} <= pairs


def test_every_exception_inside_a_layer_is_needed() -> None:
    pairs = {(part_of(path), part) for path in MODULES for _, part in imports_of(tree_of(path), path)}
    assert pairs >= SAME_LAYER


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("errors.py", "from emotions_cli.labels import Task"),
        ("errors.py", "import emotions_cli.labels"),
        ("errors.py", "from emotions_cli import labels"),
        ("labels.py", "from .extras import require"),
        ("metrics/decisions.py", "def f():\n    from emotions_cli.data import Dataset"),
        ("metrics/decisions.py", "from ..data import Dataset"),
        ("data/load.py", "if TYPE_CHECKING:\n    from emotions_cli.training import train"),
        ("data/load.py", "import emotions_cli.models.bundle as bundle"),
        ("training/run.py", "from emotions_cli.inference import Classifier"),
        ("inference/classifier.py", "from emotions_cli import training"),
        ("inference/classifier.py", "importlib.import_module('emotions_cli.training')"),
        ("evaluation/evaluate.py", "from emotions_cli.cli import app"),
        ("evaluation/evaluate.py", "from emotions_cli import load"),
        ("evaluation/evaluate.py", "import emotions_cli"),
        ("cli/app.py", "from emotions_cli.__main__ import main"),
        ("cli/app.py", "from emotions_cli.nowhere import thing"),
    ],
)
def test_an_import_from_above_is_found(path: str, code: str) -> None:
    assert len(violations(ast.parse(code), ROOT / path)) == 1


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("labels.py", "from emotions_cli.errors import DataError"),
        ("labels.py", "from .errors import DataError"),
        ("data/load.py", "from . import hub\nfrom .files import read\nfrom ..encoding import Encoder"),
        ("training/run.py", "from emotions_cli import __version__, errors"),
        ("inference/classifier.py", "import numpy\nimport emotions_cli_other\nimportlib.import_module('json')"),
    ],
)
def test_an_import_from_below_is_fine(path: str, code: str) -> None:
    assert violations(ast.parse(code), ROOT / path) == []


SPEAKING = {"print", "input", "exit", "quit", "sys.exit", "os._exit", "sys.stdout.write", "sys.stderr.write"}
READING = {"os.environ", "os.getenv", "os.environb", "os.putenv", "os.getenvb"}


def speaks(tree: ast.Module) -> list[str]:
    """Calls that print, ask or end the process."""
    called = [dotted(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    raised = [dotted(getattr(node.exc, "func", node.exc)) for node in ast.walk(tree) if isinstance(node, ast.Raise) and node.exc]
    imported = imported_names(tree)
    return [name for name in called if name in SPEAKING] + [n for n in (*raised, *imported) if n in {"SystemExit", "sys.exit"}]


def reads_environment(tree: ast.Module) -> list[str]:
    """Uses of the process's environment."""
    used = [dotted(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    return [name for name in (*used, *imported_names(tree)) if name in READING]


def imported_names(tree: ast.Module) -> list[str]:
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [f"{node.module}.{alias.name}" for node in nodes for alias in node.names]


@pytest.mark.parametrize("path", [path for path in MODULES if part_of(path) != "cli"], ids=name_of)
def test_only_the_command_line_prints_exits_or_reads_the_environment(path: Path) -> None:
    tree = tree_of(path)
    assert speaks(tree) == []
    if name_of(path) != "settings/sources.py":
        assert reads_environment(tree) == []


@pytest.mark.parametrize(
    "code",
    ["print('x')", "def f():\n    sys.exit(1)", "from sys import exit", "raise SystemExit", "raise SystemExit(3)", "exit()"],
)
def test_speaking_is_found(code: str) -> None:
    assert len(speaks(ast.parse(code))) == 1


@pytest.mark.parametrize("code", ["os.environ['X']", "x = os.environ.get('X')", "os.getenv('X')", "from os import environ"])
def test_reading_the_environment_is_found(code: str) -> None:
    assert len(reads_environment(ast.parse(code))) == 1


def test_settings_are_built_by_the_command_line_alone() -> None:
    built = {
        part_of(path)
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and dotted(node.func) in {"Settings", "resolve", "settings.resolve"}
    }
    assert built == {"settings", "cli"}
