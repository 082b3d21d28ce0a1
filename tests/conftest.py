"""Real parts in miniature: a BERT of two layers with a tokenizer of its own, models truly trained from it, the command."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from emotions_cli.cli.app import app
from emotions_cli.data import DataRequest, Dataset, load_dataset
from emotions_cli.data.load import sample_folder, with_validation
from emotions_cli.settings import Settings, TrainingSettings
from emotions_cli.tracking import JsonlTracker
from emotions_cli.training import Evaluated, Finished, TrainingJob, train
from emotions_cli.training.run_folder import RunFolder

if TYPE_CHECKING:
    from servers.wandb import Wandb

# small, but with enough steps to learn its training texts by heart
TINY = {"epochs": 20, "batch_size": 6, "learning_rate": 5e-3, "max_length": 48, "precision": "fp32", "metric": "nll", "seed": 3}

EASY = {
    "joy": ["what a happy day", "so glad and happy", "we laughed and laughed", "a happy smile", "glad you came", "happy joy"],
    "anger": ["this makes me furious", "so angry now", "furious about the bill", "angry at you", "I hate this mess", "a mess"],
    "fear": ["afraid of the dark", "so scared tonight", "scared, afraid", "the noise scares me", "afraid to go", "very scared"],
}


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every test starts in an empty folder, without settings from outside."""
    monkeypatch.chdir(tmp_path)
    for name in ("EMOTIONS_INFERENCE__MODEL", "EMOTIONS_HUB__TOKEN", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def emotions() -> Callable[..., Result]:
    """Run the command in this process: ``emotions("predict", "text", input=b"...")``."""

    def run(*arguments: str | Path, input: bytes | None = None) -> Result:  # noqa: A002 - as CliRunner names it
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=input, prog_name="emotions")

    return run


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model with random weights: two layers of 32 dimensions, words of the bundled sample as its vocabulary."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("base") / "tiny"
    normalizer, splitter = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    with (sample_folder() / "train.csv").open(encoding="utf-8", newline="") as stream:
        texts = [row["text"] for row in csv.DictReader(stream)]
    texts += [text for group in EASY.values() for text in group]
    words = {word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))}
    letters = {letter for word in words for letter in word}
    # no trained vocabulary: a trainer breaks ties differently each time
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens = [*special, *sorted(words | letters | {f"##{letter}" for letter in letters})]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    fast = BertTokenizerFast(tokenizer_object=tokenizer)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        initializer_range=0.2,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def write_easy(folder: Path) -> Path:
    """Write a small three-label data set as ``train.csv`` and ``validation.csv``; six texts a label, then two of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, take in (("train", slice(None)), ("validation", slice(0, 2))):
        with (folder / f"{split}.csv").open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(["text", "label"])
            writer.writerows((text, label) for label, texts in EASY.items() for text in texts[take])
    return folder


def write_easy_multi(folder: Path) -> Path:
    """Write a multi-label data set as JSON Lines: single texts, pairs of them with both labels, and texts with none."""
    import json

    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"text": text, "labels": [label]} for label, texts in EASY.items() for text in texts]
    names = list(EASY)
    for first, second in zip(names, names[1:] + names[:1], strict=True):
        rows += [{"text": f"{a}, {b}", "labels": [first, second]} for a, b in zip(EASY[first], EASY[second], strict=True)]
    rows += [{"text": text, "labels": []} for text in ("the bus leaves at nine", "room four is upstairs", "it is a table")]
    for split in ("train", "validation"):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def load_split(reference: Path | str, **options: object) -> Dataset:
    """Load data with a validation split."""
    return with_validation(load_dataset(DataRequest(str(reference), **options)), 0.1, 1)


def tiny_settings(base: Path, **training: object) -> Settings:
    """Settings under which the tiny model learns in a moment."""
    return Settings(training=TrainingSettings.model_validate({"base_model": str(base), **TINY, **training}))


def run_training(dataset: Dataset, base: Path, folder: Path, **settings: object) -> Finished:
    """Train to the end and return how it ended."""
    run = RunFolder(folder)
    chosen = tiny_settings(base, **settings)
    events = list(train(TrainingJob(dataset, chosen, run, JsonlTracker(run.metrics, run.throughput))))
    finished = events[-1]
    assert isinstance(finished, Finished)
    return finished


@pytest.fixture
def wandb_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Wandb]:
    """An empty server that the client in this process speaks to, and forgets behind the test."""
    import wandb
    from servers.wandb import running_wandb

    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    with running_wandb() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        wandb.teardown()
        yield server
        server.calm()
        wandb.teardown()


def run_steps(dataset: Dataset, base: Path, folder: Path, **settings: object) -> tuple[Evaluated, bytes]:
    """Train to the end, but write no bundle, which takes longer than all else; return the last evaluation and best weights."""
    run = RunFolder(folder)
    tracker = JsonlTracker(run.metrics, run.throughput)
    events = list(train(TrainingJob(dataset, tiny_settings(base, **settings), run, tracker, bundle=False)))
    checkpoint, _ = run.checkpoints.newest()
    assert checkpoint is not None
    evaluations = [event for event in events if isinstance(event, Evaluated)]
    return evaluations[-1], run.checkpoints.best(checkpoint.progress).weights.read_bytes()


def untraced() -> dict[str, str]:
    """The environment without coverage, whose records a killed process does not write, but whose time it takes."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def read_until(process: subprocess.Popen[str], words: str) -> None:
    """Read the errors of a process up to a line with some words."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return
    raise AssertionError(f"ended without {words!r}: {''.join(lines)}")


@pytest.fixture(scope="session")
def easy_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the easy three-label data."""
    return write_easy(tmp_path_factory.mktemp("easy"))


@pytest.fixture(scope="session")
def easy_multi_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the easy multi-label data."""
    return write_easy_multi(tmp_path_factory.mktemp("easy-multi"))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, easy_data: Path) -> Path:
    """A run's folder: the tiny model, truly trained on the easy data. Don't change it; see ``trained_copy``."""
    folder = tmp_path_factory.mktemp("runs") / "easy"
    run_training(load_split(easy_data), tiny_base, folder)
    return folder


@pytest.fixture(scope="session")
def trained_multi(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path, easy_multi_data: Path) -> Path:
    """A run's folder: the tiny model, truly trained on the easy multi-label data."""
    folder = tmp_path_factory.mktemp("runs") / "easy-multi"
    run_training(load_split(easy_multi_data), tiny_base, folder, epochs=40)
    return folder


@pytest.fixture
def trained_copy(trained: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of the trained run that a test may damage."""
    copy = tmp_path / "copy"
    shutil.copytree(trained, copy)
    yield copy
    shutil.rmtree(copy)


@pytest.fixture(scope="session")
def dropping_base(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base model with dropout."""
    folder = tmp_path_factory.mktemp("dropping") / "base"
    shutil.copytree(tiny_base, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config.update(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def whole(dropping_base: Path, easy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nobody stopped."""
    from resuming import RECIPE

    folder = tmp_path_factory.mktemp("whole") / "run"
    run_training(load_split(easy_data), dropping_base, folder, **RECIPE)
    return folder


@pytest.fixture(scope="session")
def course(dropping_base: Path, easy_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, its bundle not written."""
    from resuming import job_of, trained_by

    folder = tmp_path_factory.mktemp("course") / "run"
    trained_by(job_of(dropping_base, easy_data, folder))
    return folder
