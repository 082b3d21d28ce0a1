"""Teachers: their answers are mixed into the labels, in the data's order of labels, and a student learns from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import load_split, run_steps, run_training
from typer.testing import Result

from emotions_cli import load
from emotions_cli.data.dataset import TRAIN, Dataset
from emotions_cli.labels import LabelSet
from emotions_cli.models.ref import open_model
from emotions_cli.streams.hashing import sha256_of
from emotions_cli.training.build import build_accelerator
from emotions_cli.training.teachers import Teacher, find_teacher, soft_targets


@pytest.fixture
def data(easy_data: Path) -> Dataset:
    return load_split(easy_data)


def teacher(folder: Path, data: Dataset) -> Teacher:
    return find_teacher(str(folder), data.labels, data.task)


def test_targets_are_the_truth_mixed_with_the_mean_of_the_answers(trained: Path, data: Dataset) -> None:
    examples = data.split(TRAIN)
    texts = ["what a happy day", "the noise scares me, I am so angry", "we laughed", "a mess"]
    some = replace(examples, texts=texts, targets=examples.targets[:4])
    found = soft_targets(some, data.labels, [teacher(trained, data)] * 2, 0.25, build_accelerator("cpu", "fp32"))
    expected = 0.75 * some.targets + 0.25 * load(trained, precision="fp32").scores(texts)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)


def test_the_order_of_a_teachers_labels_does_not_matter(trained: Path, data: Dataset) -> None:
    examples = data.split(TRAIN)
    turned = LabelSet(tuple(reversed(data.labels.names)))
    cpu = build_accelerator("cpu", "fp32")
    straight = soft_targets(examples, data.labels, [teacher(trained, data)], 1.0, cpu)
    found = soft_targets(replace(examples, targets=examples.targets[:, ::-1]), turned, [teacher(trained, data)], 1.0, cpu)
    np.testing.assert_array_equal(found[:, ::-1], straight)


def test_a_student_learns_what_its_teacher_knows_though_all_labels_are_wrong(
    trained: Path, tiny_base: Path, data: Dataset, tmp_path: Path
) -> None:
    examples = data.split(TRAIN)
    wrong = replace(data, splits={**data.splits, TRAIN: replace(examples, targets=np.roll(examples.targets, 1, axis=1))})
    misled, _ = run_steps(wrong, tiny_base, tmp_path / "misled")
    taught = run_training(wrong, tiny_base, tmp_path / "taught", fast_file=False, teachers=[str(trained)], teacher_weight=1.0)
    assert misled.judgement.overall["accuracy"] < 0.5
    assert taught.judgement.overall["accuracy"] == 1.0
    recorded = open_model(taught.model).manifest.base_model["teachers"]
    assert recorded == [{"name": str(trained), "sha256": sha256_of(trained / "model" / "model.safetensors")}]


def test_a_teacher_of_several_labels_a_text(trained_multi: Path, easy_multi_data: Path) -> None:
    data = load_split(easy_multi_data)
    examples = data.split(TRAIN)
    found = soft_targets(examples, data.labels, [teacher(trained_multi, data)], 1.0, build_accelerator("cpu", "fp32"))
    np.testing.assert_allclose(found, load(trained_multi, precision="fp32").scores(examples.texts), atol=1e-4)


def test_a_teacher_with_other_labels_is_refused(trained: Path, tiny_base: Path, emotions: Callable[..., Result]) -> None:
    result = emotions(
        "train",
        "--data",
        "sample",
        "--base-model",
        tiny_base,
        "--set",
        f"training.teachers={trained}",
        "--max-length",
        "48",
        "--output",
        "run",
    )
    assert result.exit_code == 1
    assert "Teacher" in result.stderr
    assert "training.teachers" in result.stderr
    assert not Path("run").exists()
