"""A reference names a bundle's folder or a run's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from emotions_cli.errors import BundleCorrupt, ModelError
from emotions_cli.models.bundle import MANIFEST_FILE
from emotions_cli.models.ref import open_model


def test_the_folder_of_a_run_and_of_its_bundle_open_the_same_model(trained: Path) -> None:
    of_run, of_bundle = open_model(trained), open_model(trained / "model")
    assert of_run == of_bundle
    assert of_run.path == trained / "model"


def test_a_reference_may_be_text_and_relative(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained.parent)
    assert open_model(trained.name).manifest == open_model(f"./{trained.name}/model/").manifest == open_model(trained).manifest


def test_a_bundle_with_a_folder_named_model_is_still_the_bundle(trained: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(trained / "model", folder)
    shutil.copytree(trained / "model", folder / "model")
    assert open_model(folder).path == folder


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "is not there"), ("empty", "is no model"), ("file", "is a file, not a model")]
)
def test_what_is_no_model_is_named_as_it_was_given(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "empty" / "model").mkdir(parents=True)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelError, match=message) as raised:
        open_model(name)
    assert f"'{name}'" in raised.value.message


def test_a_damaged_model_inside_a_run_is_named(trained_copy: Path) -> None:
    (trained_copy / "model" / "config.json").unlink()
    with pytest.raises(BundleCorrupt, match=r"lacks its file config\.json"):
        open_model(trained_copy)
    (trained_copy / "model" / MANIFEST_FILE).unlink()
    with pytest.raises(ModelError, match="is no model"):
        open_model(trained_copy)
