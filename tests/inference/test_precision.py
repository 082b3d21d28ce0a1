"""fp32, 8-bit integers, or whichever is better here; close calls go to fp32, and a text's company changes nothing."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import EASY

from emotions_cli import Classifier, load
from emotions_cli.data.load import sample_texts
from emotions_cli.encoding import Encoder, TokenIds
from emotions_cli.errors import BundleCorrupt, ModelError
from emotions_cli.inference.backends import HandingOver, Logits, Precision, choose_precision
from emotions_cli.labels import Task
from emotions_cli.models.bundle import FAST_FILE, ONNX_FILE, FastFile, Manifest, write_manifest
from emotions_cli.models.ref import open_model
from emotions_cli.runtime import cpu
from emotions_cli.runtime.cpu import multiplies_int8
from emotions_cli.runtime.session import OnnxModel

needs_int8 = pytest.mark.skipif(not multiplies_int8(), reason="this CPU has no 8-bit products")
on_linux = pytest.mark.skipif(platform.system() != "Linux", reason="/proc/cpuinfo is read on Linux")

TEXTS = [text for group in EASY.values() for text in group] + sample_texts()[:150] + ["", "🙂", "happy " * 100, "afraid"]
PLAIN = Manifest(("joy", "anger"), Task.SINGLE_LABEL, 48)
QUICK = replace(PLAIN, fast=FastFile(0.25, 100, 1.0, 0.0, 0.1, ()))


def _set_cpu(monkeypatch: pytest.MonkeyPatch, folder: Path, flags: str) -> None:
    (folder / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n", encoding="utf-8")
    monkeypatch.setattr(cpu, "_CPUINFO", folder / "cpuinfo")


def _set_fast(folder: Path, **changes: object) -> None:
    manifest = open_model(folder).manifest
    assert manifest.fast is not None
    write_manifest(folder, replace(manifest, fast=replace(manifest.fast, **changes)))


@pytest.fixture
def folder(trained_copy: Path) -> Path:
    """A bundle that a test may damage."""
    return trained_copy / "model"


@on_linux
@pytest.mark.parametrize(
    ("wanted", "manifest", "flags", "chosen", "why"),
    [
        ("auto", QUICK, "avx2 avx512_vnni", "fast", "texts within 0.25 logits of another answer in fp32"),
        ("fast", QUICK, "avx2 avx_vnni", "fast", "8-bit integers"),
        ("fp32", QUICK, "avx2 avx512_vnni", "fp32", "as asked for"),
        ("auto", QUICK, "avx2", "fp32", "this CPU gains nothing"),
        ("auto", PLAIN, "avx2 avx512_vnni", "fp32", "emotions export --to fast"),
        ("fp32", PLAIN, "avx2", "fp32", "as asked for"),
    ],
)
def test_what_is_chosen_and_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wanted: str, manifest: Manifest, flags: str, chosen: str, why: str
) -> None:
    _set_cpu(monkeypatch, tmp_path, flags)
    precision, reason = choose_precision(Precision(wanted), manifest)
    assert precision == chosen
    assert reason.startswith(chosen)
    assert why in reason


@on_linux
@pytest.mark.parametrize(
    ("manifest", "flags", "message", "hint"),
    [
        (PLAIN, "avx512_vnni", "has no fast file", "emotions export"),
        (QUICK, "avx2", "has no 8-bit products", "--precision fp32"),
    ],
)
def test_fast_is_not_always_to_be_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, manifest: Manifest, flags: str, message: str, hint: str
) -> None:
    _set_cpu(monkeypatch, tmp_path, flags)
    with pytest.raises(ModelError, match=message) as raised:
        choose_precision(Precision.FAST, manifest)
    assert hint in raised.value.hint


@on_linux
def test_a_model_moved_to_an_old_cpu_answers_in_fp32(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trained: Path) -> None:
    _set_cpu(monkeypatch, tmp_path, "sse2 avx2")
    assert load(trained).precision is Precision.FP32
    assert load(trained).predict(["so happy"])[0].label == "joy"
    if open_model(trained).manifest.fast is not None:
        with pytest.raises(ModelError, match="8-bit products"):
            load(trained, precision="fast")


def test_a_precision_nobody_knows_is_an_error(trained: Path) -> None:
    with pytest.raises(ValueError, match="turbo"):
        load(trained, precision="turbo")


@needs_int8
def test_a_model_without_a_fast_file(folder: Path) -> None:
    (folder / FAST_FILE).unlink()
    write_manifest(folder, replace(open_model(folder, verify=False).manifest, fast=None))
    classifier = load(folder)
    assert classifier.precision is Precision.FP32
    assert "no fast file" in classifier.why
    with pytest.raises(ModelError, match="no fast file"):
        load(folder, precision="fast")


@needs_int8
@pytest.mark.parametrize("model", ["trained", "trained_multi"])
def test_fast_answers_as_fp32(model: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(model)
    fast, exact = load(folder, precision="fast"), load(folder, precision="fp32")
    assert (fast.precision, exact.precision) == (Precision.FAST, Precision.FP32)
    assert load(folder).precision is Precision.FAST
    answers = [set(prediction.labels) for prediction in fast.predict(TEXTS)]
    expected = [set(prediction.labels) for prediction in exact.predict(TEXTS)]
    assert np.mean([a == b for a, b in zip(answers, expected, strict=True)]) >= 0.995
    assert np.abs(fast.scores(TEXTS) - exact.scores(TEXTS)).mean() <= 0.01


@needs_int8
@pytest.mark.parametrize("model", ["trained", "trained_multi"])
def test_when_every_call_is_close_all_scores_are_those_of_fp32(
    model: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    shutil.copytree(request.getfixturevalue(model) / "model", tmp_path / "bundle")
    _set_fast(tmp_path / "bundle", close_call=1e9)
    classifier = load(tmp_path / "bundle")
    assert classifier.precision is Precision.FAST
    np.testing.assert_array_equal(classifier.scores(TEXTS), load(tmp_path / "bundle", precision="fp32").scores(TEXTS))


@needs_int8
def test_when_no_call_is_close_none_is_handed_over(folder: Path) -> None:
    _set_fast(folder, close_call=0.0)
    classifier, bundle = load(folder), open_model(folder)
    fast, encoder = OnnxModel(folder / FAST_FILE), bundle.encoder()
    logits = fast.logits_of(encoder, encoder.encode(TEXTS), batch_tokens=2048).astype(np.float64)
    scaled = np.exp(logits / bundle.manifest.temperature)
    np.testing.assert_allclose(classifier.scores(TEXTS), scaled / scaled.sum(axis=1, keepdims=True), atol=1e-9)
    assert not np.array_equal(classifier.scores(TEXTS), load(folder, precision="fp32").scores(TEXTS))


class Written:
    """A backend whose logits are written down for a text's first token id behind [CLS]; it remembers what it was asked."""

    def __init__(self, logits: dict[int, list[float]]) -> None:
        self.logits = logits
        self.asked: list[list[int]] = []

    def logits_of(self, encoder: Encoder, tokens: Sequence[TokenIds], *, batch_tokens: int) -> Logits:  # noqa: ARG002
        self.asked.append([t.ids[1] for t in tokens])
        return np.array([self.logits[t.ids[1]] for t in tokens], dtype=np.float32)


def test_close_calls_of_all_texts_are_handed_over_together(trained: Path) -> None:
    encoder = open_model(trained).encoder()
    texts = [TokenIds((0, i, 9), 0) for i in range(4)]
    fast = Written({0: [5.0, 0.0], 1: [1.0, 0.9], 2: [0.0, 5.0], 3: [0.2, 0.0]})
    exact = Written({1: [0.9, 1.0], 3: [0.3, 0.0]})
    opened: list[Written] = []

    def open_exact() -> Written:
        opened.append(exact)
        return exact

    backend = HandingOver(fast, open_exact, lambda logits: np.abs(logits[:, 0] - logits[:, 1]), 0.5)
    np.testing.assert_allclose(backend.logits_of(encoder, texts[::2], batch_tokens=9), [[5, 0], [0, 5]])
    assert not opened
    found = backend.logits_of(encoder, texts, batch_tokens=9)
    np.testing.assert_allclose(found, [[5, 0], [0.9, 1.0], [0, 5], [0.3, 0]])
    backend.logits_of(encoder, texts, batch_tokens=9)
    assert exact.asked == [[1, 3], [1, 3]]
    assert opened == [exact]


@needs_int8
def test_fast_probes_that_differ_are_refused(folder: Path) -> None:
    fast = open_model(folder).manifest.fast
    assert fast is not None
    turned = tuple(scores[::-1] for scores in fast.probe_scores)
    _set_fast(folder, probe_scores=turned)
    for precision in ("auto", "fast"):
        with pytest.raises(BundleCorrupt, match=r"scores .* differently than when it was saved"):
            load(folder, precision=precision)
    assert load(folder, precision="fp32").predict(["so happy"])[0].label == "joy"


@needs_int8
def test_a_damaged_fast_file_is_named(folder: Path) -> None:
    content = bytearray((folder / FAST_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / FAST_FILE).write_bytes(content)
    with pytest.raises(BundleCorrupt, match=r"model\.fast\.onnx has changed since the model was saved"):
        load(folder)
    (folder / FAST_FILE).unlink()
    with pytest.raises(BundleCorrupt, match=r"lacks its file model\.fast\.onnx"):
        load(folder)
    assert load(folder, precision="fp32").predict(["so happy"])[0].label == "joy"


@needs_int8
def test_a_damaged_fp32_file_is_found_before_it_is_needed(folder: Path) -> None:
    (folder / ONNX_FILE).write_bytes(b"no model")
    with pytest.raises(BundleCorrupt, match=r"model\.onnx has changed"):
        load(folder, precision="fast")


@pytest.mark.parametrize("model", ["trained", "trained_multi"])
@pytest.mark.parametrize(("batch_tokens", "threads"), [(1, 1), (60, 2), (2048, 1), (10**6, 4)])
def test_company_order_and_threads_move_no_answer(
    model: str, batch_tokens: int, threads: int, request: pytest.FixtureRequest
) -> None:
    folder = request.getfixturevalue(model)
    alone = load(folder, threads=1)
    answers = [alone.predict([text])[0] for text in TEXTS]
    order = np.random.default_rng(batch_tokens).permutation(len(TEXTS)).tolist()
    together = load(folder, batch_tokens=batch_tokens, threads=threads).predict([TEXTS[i] for i in order])
    for i, found in zip(order, together, strict=True):
        assert found.text == TEXTS[i]
        assert found.labels == answers[i].labels
        assert list(found.scores.values()) == pytest.approx(list(answers[i].scores.values()), abs=5e-3)


def test_a_manifest_of_a_fast_file_is_read_back(tmp_path: Path) -> None:
    fast = FastFile(0.25, 100, 0.999, 0.001, 0.1, ((0.5, 0.5), (1.0, 0.0)))
    write_manifest(tmp_path, replace(PLAIN, fast=fast))
    assert open_model(tmp_path).manifest.fast == fast
    assert json.loads((tmp_path / "emotions.json").read_text(encoding="utf-8"))["fast"]["handed_over"] == 0.1


def test_the_reading_says_what_decides_over_batches(trained: Path) -> None:
    readings = {load(trained, batch_tokens=n, long_text=how).reading for n in (64, 2048) for how in ("head", "window")}
    assert len(readings) == 4
    assert isinstance(load(trained), Classifier)
