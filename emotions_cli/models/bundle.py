"""The model bundle: a folder that holds everything needed to run, check and repeat a model.

::

    config.json  model.safetensors  tokenizer.json …   a Hugging Face folder: ``from_pretrained`` opens it
    model.onnx                                         the same weights for ONNX Runtime, its fused kernels
    model.fast.onnx                                    in 8-bit integers, where they answer the same
    weights.safetensors                                instead of model.safetensors in a small bundle: weights in 8 bits,
                                                       which both ONNX files compute from
    README.md                                          the model card, where there is one
    emotions.json                                      the manifest: labels, decisions, origins, hashes, probes

The hash of the manifest is checked when a bundle is opened, that of a file before it is used; what differs is named.
Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveFloat, PositiveInt, TypeAdapter, ValidationError

from emotions_cli.encoding import Encoder
from emotions_cli.errors import BundleCorrupt, DataError, ModelError
from emotions_cli.labels import LabelSet, Task
from emotions_cli.streams.hashing import sha256_of

MANIFEST_FILE = "emotions.json"
ONNX_FILE = "model.onnx"
FAST_FILE = "model.fast.onnx"
COMPACT_FILE = "weights.safetensors"
WEIGHTS_FILE = "model.safetensors"
CARD_FILE = "README.md"
FORMAT_VERSION = 1
DIGEST_KEY = "manifest_sha256"
_AGAIN = "Fetch or train the model again."


@dataclass(frozen=True)
class Probe:
    """A text with the token ids and probabilities it must give, so that a changed runtime or tokenizer is noticed."""

    text: str
    ids: tuple[int, ...]
    scores: tuple[float, ...]


@dataclass(frozen=True)
class FastFile:
    """What is known about ``model.fast.onnx``, measured on held-out texts when it was made.

    Attributes:
        close_call: Texts whose decision is nearer than this, in logits, are handed over to ``model.onnx``.
        texts: Held-out texts.
        same_label: Share of them with the same answer as in fp32.
        score_difference: Mean difference of an answer's score from fp32.
        handed_over: Share of them that were handed over.
        probe_scores: Scores of the manifest's probes, before any is handed over.
    """

    close_call: float
    texts: int
    same_label: float
    score_difference: float
    handed_over: float
    probe_scores: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Manifest:
    """What ``emotions.json`` says.

    Attributes:
        labels: Label names; the place in the list is the column of the model's output.
        task: Single-label (softmax) or multi-label (sigmoid and thresholds).
        max_length: Longest input in tokens.
        temperature: Logits are divided by it before they become probabilities.
        thresholds: A threshold a label for multi-label models, else ``None``.
        base_model: Name and sha256 of the weights that training started from.
        data: Reference, fingerprint and split sizes of the training data.
        settings: Resolved settings of the run, secrets masked.
        metrics: Validation metrics of these weights.
        versions: Versions of this package and the libraries it trained with.
        arithmetic: Device, precision, processes and threads that computed it.
        git: Commit of the folder it was trained in, and whether its files had changed; ``None`` outside a repository.
        created: UTC time of writing, ISO 8601.
        probes: Texts with their expected token ids and scores.
        fast: About the fast file, where there is one.
        files: File name → sha256 of every other file in the folder.
    """

    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    task: Task
    max_length: PositiveInt
    temperature: PositiveFloat = 1.0
    thresholds: tuple[float, ...] | None = None
    base_model: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    arithmetic: Mapping[str, Any] = field(default_factory=dict)
    git: Mapping[str, Any] | None = None
    created: str = ""
    probes: tuple[Probe, ...] = ()
    fast: FastFile | None = None
    files: Mapping[str, Annotated[str, Field(pattern="^[0-9a-f]{64}$")]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain values, format version first."""
        return {"format": FORMAT_VERSION, **asdict(self)}

    @classmethod
    def from_json(cls, content: Any, path: Path) -> Manifest:
        """Check and read plain values.

        Raises:
            ModelError: The format is newer than this version reads, or a part is missing or malformed.
        """
        if not isinstance(content, dict):
            raise ModelError(f"{path} is malformed: it is no JSON object.", _AGAIN)
        version = content.get("format")
        if version != FORMAT_VERSION:
            raise ModelError(
                f"{path} has bundle format {version!r}; this version reads format {FORMAT_VERSION}.",
                "Upgrade: pip install --upgrade emotions-cli",
            )
        try:
            manifest = TypeAdapter(cls).validate_json(json.dumps(content), strict=True)
            LabelSet(manifest.labels)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            key = ".".join(map(str, first["loc"]))
            raise ModelError(f"{path} is malformed: {key}: {first['msg']}.", _AGAIN) from error
        except DataError as error:
            raise ModelError(f"{path} is malformed: {error.message}", _AGAIN) from error
        wanted = len(manifest.labels) if manifest.task is Task.MULTI_LABEL else None
        if wanted != (None if manifest.thresholds is None else len(manifest.thresholds)):
            raise ModelError(f"{path} is malformed: thresholds and labels don't match.", _AGAIN)
        return manifest


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Attributes:
        path: Its folder.
        manifest: What its manifest says.
    """

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path, *, verify: bool = True) -> Bundle:
        """Open a bundle and check its manifest, and its files against it.

        Args:
            path: Its folder.
            verify: Check every file now; else :meth:`checked` does, one when it is used.

        Raises:
            ModelError: The folder is not there, is no bundle, or is one this version can't read.
            BundleCorrupt: A file is missing or has changed.
        """
        manifest_path = path / MANIFEST_FILE
        try:
            content = json.loads(manifest_path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            raise _no_bundle(path) from None
        except (OSError, ValueError) as error:
            raise BundleCorrupt(f"{manifest_path} can't be read: {error}", _AGAIN) from error
        manifest = Manifest.from_json(content, manifest_path)
        for name in manifest.files:
            if name in {"", ".", ".."} or Path(name).name != name or "\0" in name:
                raise BundleCorrupt(f"{manifest_path} lists {name!r}, which is not a file of the bundle.", "Do not use it.")
        if content.get(DIGEST_KEY) != digest_of(content):
            raise BundleCorrupt(f"{manifest_path} has changed since the model was saved.", _AGAIN)
        bundle = cls(path, manifest)
        for name in manifest.files if verify else ():
            bundle.checked(name)
        return bundle

    def checked(self, name: str) -> Path:
        """Return the path of a file after checking that it is the one that was saved.

        Raises:
            BundleCorrupt: It is missing, not listed, or has changed.
        """
        path, expected = self.path / name, self.manifest.files.get(name)
        try:
            actual = sha256_of(path)
        except FileNotFoundError:
            raise BundleCorrupt(f"Model '{self.path}' lacks its file {name}.", _AGAIN) from None
        except OSError as error:
            raise BundleCorrupt(f"{path} can't be read: {error.strerror}.", _AGAIN) from error
        if actual != expected:
            raise BundleCorrupt(
                f"{path} has changed since the model was saved (sha256 {actual[:12]}…, expected {(expected or 'none')[:12]}…).",
                _AGAIN,
            )
        return path

    @property
    def labels(self) -> LabelSet:
        """The labels it answers."""
        return LabelSet(self.manifest.labels)

    def encoder(self) -> Encoder:
        """Open its tokenizer."""
        return Encoder.from_folder(self.path, max_length=self.manifest.max_length)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder whose other files are all in place, with their hashes."""
    hashes = {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.name != MANIFEST_FILE}
    content = {**manifest.to_json(), "files": hashes}
    content[DIGEST_KEY] = digest_of(content)
    (folder / MANIFEST_FILE).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def digest_of(content: Mapping[str, Any]) -> str:
    """Return the sha256 of a manifest's values, its own digest left out."""
    values = {key: value for key, value in content.items() if key != DIGEST_KEY}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _no_bundle(path: Path) -> ModelError:
    if str(path).startswith(("hf:", "gs:", "wandb:")):
        return ModelError(f"'{path}' is no folder; models are opened from folders only.", "Name a run's folder or a bundle's.")
    if not path.exists():
        return ModelError(f"Model '{path}' is not there.", "Train one: emotions train --data sample --output runs/sample")
    if path.is_dir():
        return ModelError(f"Folder '{path}' is no model: it has no {MANIFEST_FILE}.", "Name a run folder or its model folder.")
    return ModelError(f"'{path}' is a file, not a model.", "Name a run folder or its model folder.")
