"""A bundle is opened when it is what was saved; otherwise the file that differs is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import EASY

from emotions_cli import load
from emotions_cli.encoding import Encoder
from emotions_cli.errors import EXIT_ERROR, BundleCorrupt, ModelError
from emotions_cli.labels import LabelSet, Task
from emotions_cli.models.bundle import FORMAT_VERSION, MANIFEST_FILE, Bundle, Manifest, Probe, write_manifest
from emotions_cli.streams.hashing import sha256_of

FULL = Manifest(
    labels=("joy", "Ärger", "fear"),
    task=Task.MULTI_LABEL,
    max_length=48,
    temperature=1.25,
    thresholds=(0.5, 0.25, 0.125),
    base_model={"name": "tiny", "sha256": "0" * 64},
    data={"reference": "sample", "splits": {"train": 3}},
    settings={"training": {"epochs": 3}},
    metrics={"validation": {"nll": 0.5}},
    versions={"python": "3.11"},
    created="2026-01-31T12:00:00+00:00",
    probes=(Probe("wie schön 🙂", (1, 2, 3), (0.1, 0.2, 0.7)),),
)


@pytest.fixture
def folder(trained_copy: Path) -> Path:
    """A bundle that a test may damage."""
    return trained_copy / "model"


def read(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    return content


def change(folder: Path, **parts: object) -> None:
    """Replace parts of the manifest, and nothing else."""
    (folder / MANIFEST_FILE).write_text(json.dumps({**read(folder), **parts}), encoding="utf-8")


def plain_bundle(folder: Path, manifest: Manifest = FULL, **files: bytes) -> Path:
    """Write a folder with these files and a manifest: a bundle as far as :class:`Bundle` is concerned."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    write_manifest(folder, manifest)
    return folder


def test_a_manifest_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    folder = plain_bundle(tmp_path / "bundle", weights=b"1234", config=b"{}")
    bundle = Bundle.open(folder)
    assert bundle.manifest.files == {name: sha256_of(folder / name) for name in ("config", "weights")}
    assert Manifest(**{**vars(bundle.manifest), "files": {}}) == FULL
    assert bundle.labels == LabelSet(FULL.labels)
    assert bundle.path == folder
    assert bundle.checked("config") == folder / "config"


def test_a_manifest_is_json_that_people_can_read(tmp_path: Path) -> None:
    folder = plain_bundle(tmp_path / "bundle")
    text = (folder / MANIFEST_FILE).read_text(encoding="utf-8")
    assert next(iter(json.loads(text))) == "format"
    assert "Ärger" in text
    assert "wie schön 🙂" in text
    assert text.endswith("}\n")


def test_a_manifest_does_not_list_itself(tmp_path: Path) -> None:
    folder = plain_bundle(tmp_path / "bundle", weights=b"1")
    write_manifest(folder, FULL)
    assert list(read(folder)["files"]) == ["weights"]


def test_parts_with_a_default_may_be_missing() -> None:
    manifest = Manifest.from_json({"format": 1, "labels": ["a", "b"], "task": "single-label", "max_length": 9}, Path("m"))
    assert manifest == Manifest(("a", "b"), Task.SINGLE_LABEL, 9)


def test_parts_that_a_later_version_adds_are_ignored() -> None:
    content = {"format": 1, "labels": ["a", "b"], "task": "single-label", "max_length": 9, "colour": "green"}
    assert Manifest.from_json(content, Path("m")) == Manifest(("a", "b"), Task.SINGLE_LABEL, 9)


def test_a_trained_bundle_lists_all_its_files(trained: Path) -> None:
    bundle = Bundle.open(trained / "model")
    on_disk = {path.name for path in bundle.path.iterdir()}
    assert set(bundle.manifest.files) == on_disk - {MANIFEST_FILE}
    assert on_disk >= {"config.json", "model.safetensors", "model.onnx", "tokenizer.json"}
    assert set(bundle.labels) == set(EASY)
    assert bundle.manifest.task is Task.SINGLE_LABEL
    assert bundle.manifest.thresholds is None
    assert bundle.manifest.probes
    assert all(len(probe.scores) == len(bundle.labels) for probe in bundle.manifest.probes)


def test_a_bundle_is_a_hugging_face_folder_with_the_same_answers(trained: Path) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = trained / "model"
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    classifier = load(folder, precision="fp32")
    assert [model.config.id2label[i] for i in range(len(classifier.labels))] == list(classifier.labels)
    texts = ["so glad and happy", "furious about the bill", "🙂"]
    with torch.no_grad():
        logits = model(**tokenizer(texts, padding=True, return_tensors="pt")).logits
    scores = torch.softmax(logits / classifier.manifest.temperature, dim=-1).numpy()
    np.testing.assert_allclose(classifier.scores(texts), scores, atol=1e-4)


def test_a_bundle_that_was_moved_still_opens(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "model", tmp_path / "some where" / "else")
    assert Bundle.open(tmp_path / "some where" / "else").manifest == Bundle.open(trained / "model").manifest


def test_its_encoder_reads_as_much_as_the_manifest_says(trained: Path) -> None:
    bundle = Bundle.open(trained / "model")
    encoder = bundle.encoder()
    assert isinstance(encoder, Encoder)
    assert encoder.max_length == bundle.manifest.max_length == 48


def test_one_changed_byte_in_any_file_is_found(folder: Path) -> None:
    names = list(read(folder)["files"])
    assert len(names) >= 4
    for name in names:
        content = (folder / name).read_bytes()
        middle = len(content) // 2
        (folder / name).write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        with pytest.raises(BundleCorrupt, match="has changed since the model was saved") as raised:
            Bundle.open(folder)
        assert str(folder / name) in raised.value.message
        assert raised.value.hint
        (folder / name).write_bytes(content)
    assert Bundle.open(folder).path == folder


def test_a_missing_file_is_named(folder: Path) -> None:
    for name in list(read(folder)["files"]):
        (folder / name).rename(folder / "hidden")
        with pytest.raises(BundleCorrupt, match="lacks its file") as raised:
            Bundle.open(folder)
        assert name in raised.value.message
        (folder / "hidden").rename(folder / name)
    assert Bundle.open(folder).path == folder


def test_a_file_cut_short_is_found(folder: Path) -> None:
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content[:-1])
    with pytest.raises(BundleCorrupt, match=r"model\.onnx has changed"):
        load(folder)


def test_a_folder_in_the_place_of_a_file_is_found(tmp_path: Path) -> None:
    folder = plain_bundle(tmp_path / "bundle", weights=b"1")
    (folder / "weights").unlink()
    (folder / "weights").mkdir()
    with pytest.raises(BundleCorrupt, match="weights"):
        Bundle.open(folder)


@pytest.mark.parametrize("name", ["../x", "../bundle/weights", "/x", "sub/x", "./weights", "..", ".", "", "a\0b"])
def test_a_listed_file_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = plain_bundle(tmp_path / "bundle", weights=b"1")
    (tmp_path / "x").write_bytes(b"1")
    (folder / "sub").mkdir()
    (folder / "sub" / "x").write_bytes(b"1")
    change(folder, files={name: sha256_of(tmp_path / "x")})
    with pytest.raises(BundleCorrupt) as raised:
        Bundle.open(folder)
    assert str(folder / MANIFEST_FILE) in raised.value.message


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, 0, "1", None])
def test_another_format_is_refused(tmp_path: Path, version: object) -> None:
    folder = plain_bundle(tmp_path / "bundle")
    change(folder, format=version)
    with pytest.raises(ModelError, match="bundle format") as raised:
        Bundle.open(folder)
    assert repr(version) in raised.value.message
    assert str(folder / MANIFEST_FILE) in raised.value.message
    assert "Upgrade" in raised.value.hint
    assert not isinstance(raised.value, BundleCorrupt)


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "nonsense", '{"format": 1', "\ufeff{}"])
def test_a_manifest_that_is_no_json_is_refused(tmp_path: Path, text: str) -> None:
    folder = plain_bundle(tmp_path / "bundle")
    (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(BundleCorrupt, match="can't be read") as raised:
        Bundle.open(folder)
    assert str(folder / MANIFEST_FILE) in raised.value.message


def test_a_manifest_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = plain_bundle(tmp_path / "bundle")
    (folder / MANIFEST_FILE).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BundleCorrupt, match="can't be read"):
        Bundle.open(folder)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"text"'])
def test_a_manifest_that_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    folder = plain_bundle(tmp_path / "bundle")
    (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")
    with pytest.raises(ModelError) as raised:
        Bundle.open(folder)
    assert str(folder / MANIFEST_FILE) in raised.value.message


@pytest.mark.parametrize("part", ["labels", "task", "max_length"])
def test_a_manifest_without_a_needed_part_is_refused(tmp_path: Path, part: str) -> None:
    folder = plain_bundle(tmp_path / "bundle")
    content = read(folder)
    del content[part]
    (folder / MANIFEST_FILE).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="is malformed") as raised:
        Bundle.open(folder)
    assert part in raised.value.message


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("labels", None),
        ("labels", "joy"),
        ("labels", []),
        ("labels", [1, 2]),
        ("labels", ["joy", "joy"]),
        ("labels", ["joy", ""]),
        ("task", "regression"),
        ("task", None),
        ("max_length", None),
        ("max_length", "48"),
        ("max_length", 48.5),
        ("max_length", -1),
        ("temperature", None),
        ("temperature", "warm"),
        ("temperature", 0),
        ("temperature", -1.0),
        ("thresholds", 0.5),
        ("thresholds", [0.5]),
        ("thresholds", "abc"),
        ("thresholds", None),
        ("probes", 3),
        ("probes", ["text"]),
        ("probes", [{"text": "x"}]),
        ("files", None),
        ("files", []),
        ("files", "abc"),
        ("files", {"weights": None}),
        ("files", {"weights": 5}),
    ],
)
def test_a_malformed_part_is_refused(tmp_path: Path, part: str, value: object) -> None:
    folder = plain_bundle(tmp_path / "bundle", weights=b"1")
    change(folder, **{part: value})
    with pytest.raises(ModelError) as raised:
        Bundle.open(folder)
    assert str(folder) in raised.value.message
    assert raised.value.hint


def folder_without_manifest(path: Path) -> Path:
    path.mkdir()
    return path


def file_instead(path: Path) -> Path:
    path.write_bytes(b"1")
    return path


def nothing(path: Path) -> Path:
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [(nothing, "is not there"), (folder_without_manifest, "is no model"), (file_instead, "is a file, not a model")],
)
def test_what_is_no_bundle_is_said(tmp_path: Path, make: Callable[[Path], Path], message: str) -> None:
    path = make(tmp_path / "thing")
    with pytest.raises(ModelError, match=message) as raised:
        Bundle.open(path)
    assert str(path) in raised.value.message
    assert raised.value.hint
    assert raised.value.exit_code == EXIT_ERROR


def test_a_folder_named_like_the_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / MANIFEST_FILE).mkdir()
    with pytest.raises(BundleCorrupt, match="can't be read"):
        Bundle.open(tmp_path)


def test_the_hash_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
