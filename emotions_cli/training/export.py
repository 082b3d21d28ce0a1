"""A trained model becomes the files of a bundle, whether it was trained here or elsewhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from emotions_cli.data.dataset import Dataset
from emotions_cli.encoding import CONFIG_FILE, TOKENIZER_FILE, Encoder, TokenTable
from emotions_cli.errors import ModelError, StorageError
from emotions_cli.export.compact import write_compact_files
from emotions_cli.export.fast_file import compare, probe_scores, refuse_unless_equal, refuse_without_int8, write_fast_file
from emotions_cli.export.onnx_file import export_onnx
from emotions_cli.export.texts import texts_for_fast_file
from emotions_cli.labels import LabelSet, Task
from emotions_cli.metrics.decisions import DEFAULT_THRESHOLD
from emotions_cli.metrics.probabilities import probabilities
from emotions_cli.models.bundle import (
    CARD_FILE,
    COMPACT_FILE,
    FAST_FILE,
    MANIFEST_FILE,
    ONNX_FILE,
    WEIGHTS_FILE,
    Bundle,
    FastFile,
    Manifest,
    Probe,
    write_manifest,
)
from emotions_cli.runtime.session import OnnxModel
from emotions_cli.streams.atomic import whole_directory
from emotions_cli.training.base_models import BaseModel
from emotions_cli.training.build import build_encoder, build_model, save_weights
from emotions_cli.training.validation import logits_of
from emotions_cli.training.versions import versions

PROBE_TEXTS = (
    "You remembered my birthday after all these years!",
    "The parcel never came, and nobody picks up the phone.",
    "Room 12 is on the second floor. 🙂 Voilà.",
)
# what a model reads when its files don't say; short texts are what this tool is for
LONGEST_INPUT = 512


def write_model_files(model: Any, tokenizer: Any, folder: Path, *, max_length: int) -> None:
    """Write a Hugging Face folder with an ONNX file beside the weights.

    Raises:
        ModelError: The exported file does not compute what the model does.
        OSError: The disk refuses.
    """
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    save_weights(model, folder / WEIGHTS_FILE)
    export_onnx(model, folder / ONNX_FILE, max_length=max_length)


def add_fast_file(folder: Path, encoder: Encoder, manifest: Manifest, dataset: Dataset | None) -> Manifest:
    """Write the fast file into a folder with the other files of a bundle, and return the manifest that knows it.

    Args:
        folder: Where the files are.
        encoder: The bundle's.
        manifest: The bundle's, not yet written.
        dataset: Whose texts to use; ``None`` takes the bundled sample's alone.

    Raises:
        FastFileRefused: See :func:`emotions_cli.export.fast_file.write_fast_file`.
    """
    calibration, held_out = texts_for_fast_file(dataset)
    onnx_file, fast_file = folder / ONNX_FILE, folder / FAST_FILE
    fast = write_fast_file(onnx_file, fast_file, encoder, manifest, calibration=calibration, held_out=held_out)
    return replace(manifest, fast=fast)


def make_probes(model: Any, encoder: Encoder, task: Task, temperature: float) -> tuple[Probe, ...]:
    """Let a model answer the probe texts."""
    tokens = TokenTable.of(encoder.encoded(PROBE_TEXTS))
    scores = probabilities(logits_of(model, encoder, tokens), task, temperature)
    return tuple(Probe(text, t.ids, tuple(row.tolist())) for text, t, row in zip(PROBE_TEXTS, tokens, scores, strict=True))


def export_bundle(bundle: Bundle, output: Path, *, fast: bool, dataset: Dataset | None) -> FastFile | None:
    """Make one of the inference files of a bundle again, from its weights or from the other file.

    Args:
        bundle: The bundle.
        output: Where the bundle with the new file goes; it may be the bundle's own folder.
        fast: Make the fast file, else the fp32 one.
        dataset: Whose texts the fast file is made with.

    Raises:
        FastFileRefused: The fast file does not answer as the model does; nothing is written.
        ModelError: The weights can't be loaded, or the exported file does not compute what the model does.
        StorageError: The output holds something that is no bundle, or the disk refuses.
    """
    refuse_if_taken(output)
    manifest = bundle.manifest
    compact = COMPACT_FILE in manifest.files
    if compact and (fast or output.resolve() == bundle.path.resolve()):
        raise ModelError(
            f"Both inference files of '{bundle.path}' compute from its weights in 8 bits; neither can be made again alone.",
            "For a bundle with weights in fp32: emotions export --to onnx --output DIR",
        )
    with whole_directory(output) as part:
        for name in manifest.files:
            # the card of a small bundle speaks of a small bundle
            if not compact or name not in {COMPACT_FILE, ONNX_FILE, FAST_FILE, CARD_FILE}:
                shutil.copyfile(bundle.checked(name), part / name)
        if fast:
            manifest = add_fast_file(part, bundle.encoder(), manifest, dataset)
        else:
            weights = BaseModel(str(bundle.path), bundle.path, "directory", None)
            model, tokenizer = build_model(weights, bundle.labels, manifest.task, manifest.max_length)
            if compact:
                write_model_files(model, tokenizer, part, max_length=manifest.max_length)
                manifest = replace(manifest, fast=None)
            else:
                export_onnx(model, part / ONNX_FILE, max_length=manifest.max_length)
        write_manifest(part, manifest)
    return manifest.fast if fast else None


def export_compact(bundle: Bundle, output: Path, *, dataset: Dataset | None, card: Path | None = None) -> FastFile:
    """Make a bundle of a quarter of the size: weights in 8 bits, from which both inference files compute.

    Args:
        bundle: A bundle with its weights in fp32.
        output: Where the small one goes.
        dataset: Whose texts the scales are fixed with; ``None`` takes the bundled sample's alone.
        card: Model card to put in as README.md.

    Raises:
        FastFileRefused: Integers don't answer as the small model in fp32 does; nothing is written.
        ModelError: The bundle's model can't be stored this way, or does not answer as before; nothing is written.
        StorageError: The output is the bundle itself or holds something that is no bundle, or the disk refuses.
    """
    from safetensors.numpy import load_file

    refuse_without_int8()
    refuse_if_taken(output)
    if output.resolve() == bundle.path.resolve():
        raise StorageError(f"'{output}' is the bundle itself: its weights in fp32 would be lost.", "Choose another --output.")
    if WEIGHTS_FILE not in bundle.manifest.files:
        raise ModelError(f"Model '{bundle.path}' has no {WEIGHTS_FILE}.", "Name the run that it was trained in.")
    calibration, held_out = texts_for_fast_file(dataset)
    encoder = bundle.encoder()
    with whole_directory(output) as part:
        for name in bundle.manifest.files:
            if name not in {WEIGHTS_FILE, ONNX_FILE, FAST_FILE}:
                shutil.copyfile(bundle.checked(name), part / name)
        tokenizer = json.loads((part / TOKENIZER_FILE).read_text(encoding="utf-8"))
        (part / TOKENIZER_FILE).write_text(json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
        if card is not None:
            shutil.copyfile(card, part / CARD_FILE)
        source = bundle.checked(ONNX_FILE)
        parameters = load_file(str(bundle.checked(WEIGHTS_FILE)))
        write_compact_files(source, parameters, part, encoder, encoder.encode(list(calibration)))
        manifest, found = _judged(part, OnnxModel(source), encoder, bundle.manifest, held_out)
        write_manifest(part, manifest)
    return found


def _judged(
    folder: Path, source: OnnxModel, encoder: Encoder, manifest: Manifest, held_out: Sequence[str]
) -> tuple[Manifest, FastFile]:
    """Check the files of a small bundle against the model they were made of, and bring its manifest up to date."""
    fast, exact = OnnxModel(folder / FAST_FILE), OnnxModel(folder / ONNX_FILE)
    refuse_unless_equal(exact, source, encoder, manifest, held_out)
    scores = probe_scores(exact, encoder, manifest)
    probes = tuple(replace(probe, scores=row) for probe, row in zip(manifest.probes, scores, strict=True))
    manifest = replace(manifest, probes=probes)
    found = compare(fast, exact, encoder, manifest, held_out)
    return replace(manifest, fast=found), found


def export_foreign(base: BaseModel, output: Path, *, fast: bool, dataset: Dataset | None) -> FastFile | None:
    """Make a bundle of a sequence classifier that was trained elsewhere.

    Its labels and its kind are what its configuration says; several labels have a threshold of 0.5 each.

    Raises:
        FastFileRefused: The fast file does not answer as the model does; nothing is written.
        ModelError: It is no classifier, can't be loaded, or the exported file does not compute what the model does.
        StorageError: The output holds something that is no bundle, or the disk refuses.
    """
    refuse_if_taken(output)
    labels, task, max_length = _answers_of(base)
    model, tokenizer = build_model(base, labels, task, max_length)
    model.eval()
    encoder = build_encoder(tokenizer, max_length)
    manifest = Manifest(
        labels=labels.names,
        task=task,
        max_length=max_length,
        thresholds=(DEFAULT_THRESHOLD,) * len(labels) if task is Task.MULTI_LABEL else None,
        base_model={"name": base.name, "source": base.source, "sha256": base.sha256},
        versions=versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        probes=make_probes(model, encoder, task, 1.0),
    )
    with whole_directory(output) as part:
        write_model_files(model, tokenizer, part, max_length=max_length)
        if fast:
            manifest = add_fast_file(part, encoder, manifest, dataset)
        write_manifest(part, manifest)
    return manifest.fast


def refuse_if_taken(output: Path) -> None:
    """Raise unless a bundle may take this place: nothing is there, an empty folder, or a bundle.

    Raises:
        StorageError: Something else would be lost.
    """
    if output.exists() and not output.is_dir():
        raise StorageError(f"'{output}' is a file, not a folder.", "Choose another --output.")
    if output.exists() and any(output.iterdir()) and not (output / MANIFEST_FILE).exists():
        raise StorageError(f"'{output}' is not empty, and no bundle.", "Choose another --output.")


def _answers_of(base: BaseModel) -> tuple[LabelSet, Task, int]:
    """Read labels, task and longest input from a configuration."""
    try:
        config = json.loads((base.folder / CONFIG_FILE).read_text(encoding="utf-8"))
        tokenizer = json.loads((base.folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        named = config.get("id2label")
        if not named or not any("Classification" in str(name) for name in config.get("architectures") or ()):
            raise ModelError(f"'{base.name}' is no classifier: its configuration names no labels.", "Train one: emotions train")
        labels = LabelSet(tuple(str(named[key]) for key in sorted(named, key=int)))
        several = config.get("problem_type") == "multi_label_classification"
        reads = int(config.get("max_position_embeddings") or LONGEST_INPUT)
        if "roberta" in str(config.get("model_type")):
            reads -= int(config.get("pad_token_id", 1)) + 1  # its positions start behind the padding id
        longest = min(reads, LONGEST_INPUT, int(tokenizer.get("model_max_length") or LONGEST_INPUT))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"The configuration of '{base.name}' can't be read: {error}", "Fetch the model again.") from error
    return labels, Task.MULTI_LABEL if several else Task.SINGLE_LABEL, longest
