"""Only what a command needs is imported: none of the training libraries to predict, evaluate or help."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from conftest import write_easy

import emotions_cli

TRAINING_LIBRARIES = {
    "accelerate",
    "datasets",
    "huggingface_hub",
    "onnx",
    "onnxscript",
    "optuna",
    "pandas",
    "plotly",
    "pyarrow",
    "safetensors",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "torch",
    "transformers",
    "wandb",
}
INFERENCE_LIBRARIES = {"numpy", "onnxruntime", "tokenizers"}

# runs a statement, and whatever its end, writes what was imported to the file named first
RUNNER = """
import json, sys
modules_file, statement, *arguments = sys.argv[1:]
sys.argv = ["emotions", *arguments]
try:
    exec(statement)
finally:
    with open(modules_file, "w", encoding="utf-8") as stream:
        json.dump(sorted({name.partition(".")[0] for name in sys.modules}), stream)
"""
COMMAND = "from emotions_cli.__main__ import main; main()"


def imported_by(statement: str, *arguments: str | Path, folder: Path) -> tuple[set[str], str]:
    """Run a statement in a fresh process that has to end well.

    Returns:
        Names of the top-level packages it imported, and its standard output.
    """
    modules_file = folder / "modules.json"
    result = subprocess.run(
        [sys.executable, "-c", RUNNER, modules_file, statement, *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return set(json.loads(modules_file.read_text(encoding="utf-8"))), result.stdout


@pytest.mark.parametrize("name", sorted(TRAINING_LIBRARIES | INFERENCE_LIBRARIES))
def test_a_library_that_is_looked_for_is_installed(name: str) -> None:
    # else a misspelled name would never be found among the imported ones
    assert importlib.util.find_spec(name) is not None


def test_importing_the_package_imports_nothing_else(tmp_path: Path) -> None:
    imported, _ = imported_by("import emotions_cli", folder=tmp_path)
    assert imported & (TRAINING_LIBRARIES | INFERENCE_LIBRARIES | {"pydantic", "rich", "typer"}) == set()


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("--version",),
        ("train", "--help"),
        ("sweep", "--help"),
        ("predict", "--help"),
        ("evaluate", "--help"),
        ("data", "--help"),
        ("config", "show"),
    ],
    ids=" ".join,
)
def test_help_and_settings_import_no_library_of_models(arguments: tuple[str, ...], tmp_path: Path) -> None:
    imported, output = imported_by(COMMAND, *arguments, folder=tmp_path)
    assert output
    assert imported & (TRAINING_LIBRARIES | INFERENCE_LIBRARIES) == set()


def test_predicting_imports_no_training_library(trained: Path, tmp_path: Path) -> None:
    imported, output = imported_by(COMMAND, "predict", "--model", trained, "so happy and glad", folder=tmp_path)
    assert "joy" in output
    assert imported & TRAINING_LIBRARIES == set()
    assert imported >= INFERENCE_LIBRARIES


def test_predicting_a_file_imports_no_training_library(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "texts.csv").write_text("text\nso happy and glad\n", encoding="utf-8")
    answers = tmp_path / "answers.jsonl"
    arguments = ("predict", "--model", trained, tmp_path / "texts.csv", "--output", answers)
    imported, _ = imported_by(COMMAND, *arguments, folder=tmp_path)
    assert "joy" in answers.read_text(encoding="utf-8")
    assert imported & TRAINING_LIBRARIES == set()


def test_evaluating_on_csv_imports_no_training_library(trained: Path, tmp_path: Path) -> None:
    data = write_easy(tmp_path / "data") / "train.csv"
    imported, output = imported_by(COMMAND, "evaluate", "--model", trained, "--data", data, "--json", folder=tmp_path)
    assert json.loads(output)["n"] == 18
    assert imported & TRAINING_LIBRARIES == set()


def test_the_python_interface_imports_no_training_library(trained: Path, tmp_path: Path) -> None:
    statement = "from emotions_cli import load; print(load(sys.argv[1]).predict(['so happy and glad'])[0].label)"
    imported, output = imported_by(statement, trained, folder=tmp_path)
    assert output.strip() == "joy"
    assert imported & (TRAINING_LIBRARIES | {"pydantic_settings", "rich", "typer"}) == set()


def test_public_names_are_exactly_those_listed() -> None:
    assert sorted(emotions_cli.__all__) == ["Classifier", "Prediction", "__version__", "load"]
    found = {name for name, value in vars(emotions_cli).items() if not name.startswith("_") and not isinstance(value, ModuleType)}
    # what the module imports for itself
    assert found - {"annotations", "import_module", "TYPE_CHECKING", "Any"} <= set(emotions_cli.__all__)


@pytest.mark.parametrize("name", emotions_cli.__all__)
def test_every_public_name_can_be_imported(name: str) -> None:
    scope: dict[str, object] = {}
    exec(f"from emotions_cli import {name}", scope)
    assert scope[name] is getattr(emotions_cli, name)


def test_lazy_names_are_those_of_inference() -> None:
    from emotions_cli import inference

    assert emotions_cli.Classifier is inference.Classifier
    assert emotions_cli.Prediction is inference.Prediction


@pytest.mark.parametrize("package", ["data", "evaluation", "inference", "settings", "training"])
def test_every_name_a_package_lists_is_there(package: str) -> None:
    module = importlib.import_module(f"emotions_cli.{package}")
    assert module.__all__
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'emotions_cli' has no attribute 'Clasifier'"):
        emotions_cli.Clasifier  # noqa: B018
    with pytest.raises(ImportError, match="Clasifier"):
        from emotions_cli import Clasifier  # noqa: F401
