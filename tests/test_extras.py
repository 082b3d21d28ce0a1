"""What is not installed is named with the command that installs it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from emotions_cli.errors import DependencyMissing
from emotions_cli.extras import EXTRAS, require

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_installed_extra_passes(extra: str) -> None:
    assert require(extra, "This test") is None


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("no_such_package_a",), "Parquet needs no_such_package_a, which is not installed."),
        (("no_such_package_a", "json", "no_such_package_b"), "needs no_such_package_a, no_such_package_b, which are not"),
    ],
)
def test_missing_packages_are_named_with_the_install_command(
    names: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXTRAS, "parquet", names)
    with pytest.raises(DependencyMissing) as raised:
        require("parquet", "Parquet")
    assert said in raised.value.message
    assert "json" not in raised.value.message
    assert "pip install 'emotions-cli[parquet]'" in raised.value.hint


def test_requiring_imports_nothing() -> None:
    code = f"""
import sys
from emotions_cli.extras import EXTRAS, require
for extra in EXTRAS:
    require(extra, "This test")
print(sorted({{name.partition(".")[0] for name in sys.modules}} & { ({name for names in EXTRAS.values() for name in names})!r}))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_extras_are_those_of_the_package() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    for extra, names in EXTRAS.items():
        packages = " ".join(declared[extra])
        assert [name for name in names if name not in packages] == []
