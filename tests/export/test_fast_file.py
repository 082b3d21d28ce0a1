"""A fast file is kept only if it answers as fp32 does; a model without one is as good as before."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import load_split, tiny_settings
from typer.testing import Result

from emotions_cli import load
from emotions_cli.data.load import sample_texts
from emotions_cli.errors import FastFileRefused
from emotions_cli.export import fast_file
from emotions_cli.export.fast_file import SIGMAS, agreement, refuse_unless_good, settle_close_call, write_fast_file
from emotions_cli.export.texts import CALIBRATION_TEXTS, texts_for_fast_file
from emotions_cli.labels import Task
from emotions_cli.models.bundle import FAST_FILE, ONNX_FILE, FastFile, Manifest
from emotions_cli.models.ref import open_model
from emotions_cli.runtime import cpu
from emotions_cli.runtime.cpu import multiplies_int8
from emotions_cli.tracking import JsonlTracker
from emotions_cli.training import Event, Finished, Note, TrainingJob, train
from emotions_cli.training.run_folder import RunFolder

Emotions = Callable[..., Result]

SINGLE = Manifest(("joy", "anger", "fear"), Task.SINGLE_LABEL, 48)
MULTI = Manifest(("joy", "anger"), Task.MULTI_LABEL, 48, temperature=2.0, thresholds=(0.5, 0.5))
GOOD = FastFile(0.1, 100, 1.0, 0.001, 0.02, ())

needs_int8 = pytest.mark.skipif(not multiplies_int8(), reason="this CPU has no 8-bit products")


def test_equal_logits_agree_wholly() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 3))
    assert agreement(logits, logits, SINGLE, settle_close_call(logits, logits, SINGLE)) == FastFile(0.0, 50, 1.0, 0.0, 0.0, ())


def test_single_label_figures_by_hand() -> None:
    exact = np.array([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 4.0], [1.0, 0.0, -9.0]])
    fast = exact.copy()
    fast[0, 0] += 0.4  # margin 4.0 -> 4.4
    fast[3] = [0.0, 0.1, -9.0]  # margin 1.0 -> 0.1, another label
    found = agreement(exact, fast, SINGLE, settle_close_call(exact, fast, SINGLE))
    # differences of the margins: 0.4, 0, 0, -0.9
    assert found.close_call == pytest.approx(SIGMAS * np.sqrt((0.4**2 + 0.9**2) / 4))
    # 2.46: of the margins 4.4, 4, 4, 0.1 the last one is handed over and so answered as in fp32
    assert found.handed_over == 0.25
    assert found.same_label == 1.0
    first, first_exact = (np.exp(x) / (np.exp(x) + 2) for x in (4.4, 4.0))
    assert found.score_difference == pytest.approx((first - first_exact) / 4)
    assert found.texts == 4


def test_a_wrong_answer_that_is_far_from_any_other_counts() -> None:
    exact = np.tile([[9.0, 0.0, 0.0]], (100, 1))
    fast = exact.copy()
    fast[0] = [0.0, 9.0, 0.0]  # the same margin: no close call notices it
    found = agreement(exact, fast, SINGLE, settle_close_call(exact, fast, SINGLE))
    assert found.close_call == 0.0
    assert found.same_label == 0.99
    with pytest.raises(FastFileRefused, match=r"same label to 99\.00% of texts only"):
        refuse_unless_good(found)


def test_multi_label_figures_by_hand() -> None:
    exact = np.array([[6.0, -6.0], [5.0, 5.0], [-4.0, 0.2]])
    fast = np.array([[6.0, -6.0], [5.0, 5.0], [-4.0, -0.1]])
    found = agreement(exact, fast, MULTI, settle_close_call(exact, fast, MULTI))
    # margins to thresholds of 0.5, logit 0: 6, 5 and 0.2 -> 0.1
    assert found.close_call == pytest.approx(SIGMAS * 0.1 / np.sqrt(3))
    assert found.handed_over == pytest.approx(1 / 3)
    assert (found.same_label, found.score_difference) == (1.0, 0.0)


def test_multi_label_scores_differ_by_their_worst_label() -> None:
    exact, fast = np.array([[6.0, -6.0]] * 2), np.array([[6.0, -6.0], [6.5, -7.0]])
    found = agreement(exact, fast, MULTI, settle_close_call(exact, fast, MULTI))
    at = [1 / (1 + np.exp(-x / 2.0)) for x in (6.0, 6.5, 7.0)]
    assert found.score_difference == pytest.approx(max(at[1] - at[0], at[2] - at[0]) / 2)
    assert found.same_label == 1.0


@pytest.mark.parametrize(
    ("worse", "message"),
    [
        ({"same_label": 0.9949}, r"it gives the same label to 99\.49% of texts only"),
        ({"same_label": float("nan")}, r"same label to nan% of texts only"),
        ({"score_difference": 0.0123}, r"its scores differ by 0\.0123 in the mean"),
        ({"score_difference": float("nan")}, r"differ by nan"),
        ({"handed_over": 0.36}, r"36% of texts are too close to decide with 8-bit integers"),
    ],
)
def test_each_figure_can_refuse(worse: dict[str, float], message: str) -> None:
    with pytest.raises(FastFileRefused, match=message) as raised:
        refuse_unless_good(replace(GOOD, **worse))
    assert raised.value.message.startswith("The model gets no fast file: ")
    assert "--precision fp32" in raised.value.hint


def test_figures_at_the_limit_are_good() -> None:
    refuse_unless_good(replace(GOOD, same_label=0.995, score_difference=0.01, handed_over=0.35))
    with pytest.raises(FastFileRefused):
        refuse_unless_good(replace(GOOD, same_label=0.995, score_difference=0.0101, handed_over=0.35))


@needs_int8
def test_a_file_is_written_with_its_figures(trained: Path, tmp_path: Path) -> None:
    bundle = open_model(trained)
    texts = sample_texts()
    target = tmp_path / "fast.onnx"
    found = write_fast_file(
        bundle.path / ONNX_FILE, target, bundle.encoder(), bundle.manifest, calibration=texts[:150], held_out=texts[150:300]
    )
    assert target.is_file()
    assert found.texts == 75
    assert found.same_label >= 0.995
    assert found.score_difference <= 0.01
    assert len(found.probe_scores) == len(bundle.manifest.probes)
    assert [sum(scores) for scores in found.probe_scores] == pytest.approx([1.0] * len(found.probe_scores))


@needs_int8
def test_a_model_without_products_is_refused(trained: Path, tmp_path: Path) -> None:
    bundle = open_model(trained)
    nodes = [onnx.helper.make_node("Cast", ["input_ids"], ["logits"], to=onnx.TensorProto.FLOAT)]
    ids = onnx.helper.make_tensor_value_info("input_ids", onnx.TensorProto.INT64, ["texts", "tokens"])
    out = onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["texts", "tokens"])
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph(nodes, "bare", [ids], [out])), str(tmp_path / "bare.onnx"))
    with pytest.raises(FastFileRefused, match="no matrix products"):
        write_fast_file(
            tmp_path / "bare.onnx", tmp_path / "f", bundle.encoder(), bundle.manifest, calibration=["a"], held_out=["b"]
        )
    assert not (tmp_path / "f").exists()


@pytest.fixture
def old_cpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine whose kernel lists no 8-bit products."""
    if platform.system() != "Linux":
        pytest.skip("/proc/cpuinfo is read on Linux")
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu sse2 avx2\n", encoding="utf-8")
    monkeypatch.setattr(cpu, "_CPUINFO", tmp_path / "cpuinfo")


def test_an_old_cpu_can_not_check_it(trained: Path, tmp_path: Path, old_cpu: None) -> None:
    bundle = open_model(trained)
    with pytest.raises(FastFileRefused, match="no 8-bit products"):
        write_fast_file(
            bundle.path / ONNX_FILE, tmp_path / "f", bundle.encoder(), bundle.manifest, calibration=["a"], held_out=["b"]
        )
    assert not (tmp_path / "f").exists()


def _events(easy_data: Path, base: Path, **settings: object) -> list[Event]:
    run = RunFolder(Path("run"))
    chosen = tiny_settings(base, epochs=1, **settings)
    return list(train(TrainingJob(load_split(easy_data), chosen, run, JsonlTracker(run.metrics, run.throughput))))


@needs_int8
def test_a_refused_file_leaves_the_trained_bundle_usable(
    monkeypatch: pytest.MonkeyPatch, easy_data: Path, tiny_base: Path
) -> None:
    monkeypatch.setattr(fast_file, "LEAST_SAME_LABEL", 1.1)
    events = _events(easy_data, tiny_base)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any("gets no fast file" in note and "of texts only" in note for note in notes)
    assert isinstance(events[-1], Finished)
    bundle = open_model("run")
    assert bundle.manifest.fast is None
    assert not (bundle.path / FAST_FILE).exists()
    classifier = load("run")
    assert classifier.precision == "fp32"
    assert classifier.predict(["so happy"])[0].label in classifier.labels


def test_no_fast_file_when_none_is_wanted(easy_data: Path, tiny_base: Path) -> None:
    events = _events(easy_data, tiny_base, fast_file=False)
    assert not any(isinstance(event, Note) for event in events)
    assert open_model("run").manifest.fast is None
    assert not Path("run", "model", FAST_FILE).exists()


def test_its_texts_come_from_the_data_and_the_sample(easy_data: Path) -> None:
    sample = set(sample_texts())
    calibration, held_out = texts_for_fast_file(None)
    assert set(calibration) | set(held_out) <= sample
    assert abs(len(calibration) - len(held_out)) <= 1
    dataset = load_split(easy_data)
    mixed, judged = texts_for_fast_file(dataset)
    own = set(dataset.split("train").texts)
    assert own <= set(mixed) <= own | sample
    assert len(mixed) <= CALIBRATION_TEXTS
    assert set(dataset.split("validation").texts) <= set(judged)
    assert not set(mixed) & sample & (set(judged) - own)
