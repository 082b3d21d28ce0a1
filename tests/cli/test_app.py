"""The root command: version, help, and errors nobody foresaw."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from typer.testing import Result

import emotions_cli
from emotions_cli.cli._output import bar

Emotions = Callable[..., Result]


def test_the_version_stands_in_one_place(emotions: Emotions) -> None:
    from importlib.metadata import version

    assert emotions("--version").stdout == f"emotions {emotions_cli.__version__}\n"
    assert version("emotions-cli") == emotions_cli.__version__


@pytest.mark.parametrize("command", [[], ["predict"], ["train"], ["evaluate"], ["data"], ["data", "check"], ["config"]])
def test_help_for_everything(emotions: Emotions, command: list[str]) -> None:
    result = emotions(*command, "--help")
    assert result.exit_code == 0
    assert "Usage: emotions" in result.stdout


def test_a_wrong_option_is_wrong_usage(emotions: Emotions) -> None:
    result = emotions("predict", "--colour")
    assert result.exit_code == 2
    assert "No such option" in result.stderr


def test_the_module_is_the_command() -> None:
    result = subprocess.run([sys.executable, "-m", "emotions_cli", "--version"], capture_output=True, text=True, check=False)
    assert result.stdout == f"emotions {emotions_cli.__version__}\n"


@pytest.mark.parametrize(("share", "drawn"), [(0.0, ""), (1.0, "████"), (0.5, "██"), (0.03, "▏"), (2.0, "████")])
def test_bars_are_drawn_in_eighths(share: float, drawn: str) -> None:
    assert bar(share, width=4) == drawn
