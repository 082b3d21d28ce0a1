"""The model in the package is whole, small, made by the recipe in the repository, and answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import Result

from emotions_cli import load
from emotions_cli.inference.classifier import PROBE_TOLERANCE
from emotions_cli.metrics.probabilities import probabilities
from emotions_cli.models.bundle import CARD_FILE, Bundle
from emotions_cli.models.ref import BUILTIN, open_model
from emotions_cli.runtime.cpu import multiplies_int8
from emotions_cli.settings import resolve
from emotions_cli.settings.sources import masked
from emotions_cli.training.base_models import find_base_model
from emotions_cli.training.build import build_model
from emotions_cli.training.validation import logits_of

Emotions = Callable[..., Result]

ROOT = Path(__file__).parents[2]
RECIPES = ROOT / "recipes"
MOST_BYTES = 24_000_000


@pytest.fixture(scope="module")
def builtin() -> Bundle:
    # every hash is checked
    return open_model(BUILTIN, verify=True)


def test_nothing_lies_beside_its_files_and_they_are_small(builtin: Bundle) -> None:
    found = {file.name: file.stat().st_size for file in builtin.path.iterdir()}
    assert found.keys() == {*builtin.manifest.files, "emotions.json"}
    assert sum(found.values()) <= MOST_BYTES


@pytest.mark.parametrize(
    "precision",
    ["fp32", pytest.param("fast", marks=pytest.mark.skipif(not multiplies_int8(), reason="this CPU has no 8-bit products"))],
)
def test_it_answers_its_probes(builtin: Bundle, precision: str) -> None:
    scores = load(precision=precision).scores([probe.text for probe in builtin.manifest.probes])
    assert builtin.manifest.fast is not None
    # close calls are handed over
    fast = builtin.manifest.fast.probe_scores if precision == "fast" else [probe.scores for probe in builtin.manifest.probes]
    for row, probe, integers in zip(scores, builtin.manifest.probes, fast, strict=True):
        assert row == pytest.approx(probe.scores, abs=PROBE_TOLERANCE) or row == pytest.approx(integers, abs=PROBE_TOLERANCE)


def test_training_starts_from_the_very_model(builtin: Bundle) -> None:
    model, _ = build_model(find_base_model(BUILTIN), builtin.labels, builtin.manifest.task, builtin.manifest.max_length)
    encoder = builtin.encoder()
    tokens = encoder.table([probe.text for probe in builtin.manifest.probes])
    scores = probabilities(logits_of(model, encoder, tokens), builtin.manifest.task, builtin.manifest.temperature)
    for row, probe in zip(scores, builtin.manifest.probes, strict=True):
        assert row == pytest.approx(probe.scores, abs=PROBE_TOLERANCE)


def test_its_card_says_what_a_user_must_know(builtin: Bundle) -> None:
    card = (builtin.path / CARD_FILE).read_text(encoding="utf-8")
    for said in ("educational and research use", "CC BY 4.0", "challenge", "recipes/open.toml", "language model", "95 %"):
        assert said in card


@pytest.mark.parametrize("document", ["README.md", "recipes/builtin.card.md", "emotions_cli/assets/builtin/README.md"])
def test_documents_say_what_was_measured(document: str) -> None:
    measured = json.loads((ROOT / "benchmarks" / "builtin.json").read_text(encoding="utf-8"))
    text = (ROOT / document).read_text(encoding="utf-8")
    for found in measured["sets"].values():
        (low, high), (least, most) = found["accuracy_interval"], found["macro_f1_interval"]
        assert (
            f"| {found['texts']:,} | {found['accuracy']:.3f} ({low:.3f}–{high:.3f}) "
            f"| {found['macro_f1']:.3f} ({least:.3f}–{most:.3f}) | {found['ece']:.3f} |"
        ) in text


def test_data_and_files_are_those_of_the_pipelines_last_run(builtin: Bundle) -> None:
    """What it learned from has not changed since, and the package holds what the pipeline made."""
    stages = yaml.safe_load((ROOT / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    for stage in stages.values():
        for dependency in stage["deps"]:
            path = ROOT / dependency["path"]
            if path.parts[len(ROOT.parts)] != "build":
                assert _md5(path) == dependency["md5"], f"{path}: dvc repro"
    (made,) = stages["export"]["outs"]
    assert _md5(builtin.path) == made["md5"]


def _md5(path: Path) -> str:
    """Hash a file or a folder as DVC does."""
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file())
    entries = [{"md5": _md5(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    return hashlib.md5(json.dumps(entries).encode(), usedforsecurity=False).hexdigest() + ".dir"


def test_the_recipe_is_the_one_it_was_trained_by(builtin: Bundle) -> None:
    resolved = masked(resolve({}, file=RECIPES / "builtin.toml").settings)
    recorded = builtin.manifest.settings
    assert {key: recorded[key] for key in ("data", "training")} == {key: resolved[key] for key in ("data", "training")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("They lost my parcel again!", "anger"),
        ("He left me!!", "sadness"),
        ("We won!!", "joy"),
        ("His coat still hangs by the door.", "sadness"),
        ("The bus to the station leaves at ten past nine.", "neutral"),
        ("I can't sleep, the results come back on Friday.", "fear"),
        ("Wait, you two KNOW each other??", "surprise"),
        ("We did it!! First place 🎉", "joy"),
        ("Mum kept every letter I ever wrote her. I love that woman.", "love"),
    ],
)
def test_it_reads_everyday_sentences(text: str, expected: str) -> None:
    assert load().predict([text])[0].label == expected


def test_it_is_the_default_and_can_be_limited(emotions: Emotions) -> None:
    command = ("predict", "--text", "Back again tomorrow, same time.", "--scores", "--format", "jsonl")
    limited = emotions(*command, "--labels", "joy,anger")
    free = emotions(*command)
    assert free.exit_code == limited.exit_code == 0
    assert '"score_neutral"' in free.stdout
    assert '"score_neutral"' not in limited.stdout
    assert emotions("predict", "--text", "a", "--labels", "joi").exit_code == 2


def test_its_card_is_shown(emotions: Emotions) -> None:
    result = emotions("models", "show")
    assert result.exit_code == 0
    assert "sadness, joy, love, anger, fear, surprise, neutral" in result.stdout
    assert "dair-ai/emotion" in result.stdout
    assert "validation accuracy" in result.stdout
