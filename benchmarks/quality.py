"""How good a seven-label model is, on everything that may be looked at.

    python benchmarks/quality.py --model REF [--mixture build/builtin/data] [--output quality.json]

Judged as it answers by default (8-bit integers where the CPU can): the validation rows of the mixture, source by source, the
bundled sample, the challenge set category by category, and sentences in which only a name or a profession is swapped. Intervals
are 95 %, from 1,000 bootstrap samples of the texts.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from emotions_cli import load
from emotions_cli.data.load import sample_folder
from emotions_cli.inference import Classifier
from emotions_cli.labels import Task
from emotions_cli.metrics.judgement import judge

ROOT = Path(__file__).resolve().parent.parent
NEUTRAL = "neutral"
SAMPLES = 1_000


@dataclass(frozen=True)
class Labelled:
    """Texts with a label each, and a group where there is one."""

    texts: list[str]
    labels: list[str]
    groups: list[str]


def read_csv(path: Path, group: str | None = None) -> Labelled:
    """Read texts and labels of a CSV file."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    return Labelled([r["text"] for r in rows], [r["label"] for r in rows], [r[group] if group else "" for r in rows])


def read_sample() -> Labelled:
    """Read all splits of the bundled sample."""
    parts = [read_csv(sample_folder() / f"{split}.csv") for split in ("train", "validation", "test")]
    return Labelled([t for p in parts for t in p.texts], [x for p in parts for x in p.labels], [])


def read_mixture(folder: Path) -> Mapping[str, Labelled]:
    """Read the validation rows of a mixture, by source."""
    by_source: dict[str, Labelled] = defaultdict(lambda: Labelled([], [], []))
    with (folder / "validation.jsonl").open(encoding="utf-8") as stream:
        for line in stream:
            row = json.loads(line)
            by_source[row["source"]].texts.append(row["text"])
            by_source[row["source"]].labels.append(row["label"])
    return by_source


def figures(classifier: Classifier, data: Labelled) -> dict[str, Any]:
    """Judge the model on some texts; it may only answer labels that they have."""
    names = [label for label in classifier.labels if label in set(data.labels)]
    scores = classifier.limited(names).scores(data.texts)
    truth = np.array([names.index(label) for label in data.labels])
    targets = np.eye(len(names), dtype=np.bool_)[truth]

    def of(rows: Any) -> tuple[float, float]:
        overall = judge(scores[rows], targets[rows], tuple(names), Task.SINGLE_LABEL).overall
        return overall["accuracy"], overall["macro_f1"]

    rng = np.random.default_rng(0)
    drawn = np.array([of(rng.integers(0, len(truth), len(truth))) for _ in range(SAMPLES)])
    low, high = np.quantile(drawn, (0.025, 0.975), axis=0)
    judgement = judge(scores, targets, tuple(names), Task.SINGLE_LABEL)
    found = {
        "texts": len(truth),
        "labels": len(names),
        "accuracy": judgement.overall["accuracy"],
        "accuracy_interval": [float(low[0]), float(high[0])],
        "macro_f1": judgement.overall["macro_f1"],
        "macro_f1_interval": [float(low[1]), float(high[1])],
        "ece": judgement.overall["ece"],
        "f1": dict(zip(names, judgement.labels.f1.tolist(), strict=True)),
    }
    if NEUTRAL in names:
        emotional = np.array([label != NEUTRAL for label in data.labels])
        found["neutral_auroc"] = float(roc_auc_score(emotional, -scores[:, names.index(NEUTRAL)]))
    return found


def by_category(classifier: Classifier, data: Labelled) -> dict[str, float]:
    """Return the accuracy in each group."""
    answers = [prediction.label for prediction in classifier.predict(data.texts)]
    hits: dict[str, list[bool]] = defaultdict(list)
    for group, label, answer in zip(data.groups, data.labels, answers, strict=True):
        hits[group].append(label == answer)
    return {group: float(np.mean(right)) for group, right in hits.items()}


def swap_shifts(classifier: Classifier, data: Labelled) -> dict[str, Any]:
    """Return how far the right label's score moves, and how often the answer does, when only the person is another one."""
    scores = classifier.scores(data.texts)
    answers = [prediction.label for prediction in classifier.predict(data.texts)]
    groups: dict[str, list[int]] = defaultdict(list)
    for i, group in enumerate(data.groups):
        groups[group].append(i)
    shifts, moved = [], 0
    for rows in groups.values():
        column = classifier.labels.names.index(data.labels[rows[0]])
        shifts.append(float(np.ptp(scores[rows, column])))
        moved += len({answers[i] for i in rows}) > 1
    return {
        "sentences": len(groups),
        "answer_moves": moved,
        "largest_shift": max(shifts),
        "median_shift": float(np.median(shifts)),
        "accuracy": float(np.mean([a == b for a, b in zip(answers, data.labels, strict=True)])),
    }


def report(found: Mapping[str, Any], console: Console) -> None:
    """Print tables that can be pasted into a card."""
    table = Table("texts of", "n", "accuracy", "macro-F1", "ECE", "neutral AUROC", box=None)
    for name, row in found["sets"].items():
        (a, b), (c, d) = row["accuracy_interval"], row["macro_f1_interval"]
        auroc = f"{row['neutral_auroc']:.3f}" if "neutral_auroc" in row else "–"
        table.add_row(
            f"{name} ({row['labels']} labels)",
            f"{row['texts']:,}",
            f"{row['accuracy']:.3f} ({a:.3f}–{b:.3f})",
            f"{row['macro_f1']:.3f} ({c:.3f}–{d:.3f})",
            f"{row['ece']:.3f}",
            auroc,
        )
    console.print(table)
    categories = Table("challenge", "accuracy", box=None)
    for name, value in found["challenge"].items():
        categories.add_row(name, f"{value:.2f}")
    console.print(categories)
    console.print({key: round(value, 4) for key, value in found["swaps"].items()})


def main(arguments: Sequence[str] | None = None) -> None:
    """Judge a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--mixture", type=Path, default=ROOT / "build" / "builtin" / "data")
    parser.add_argument("--challenge", type=Path, default=ROOT / "data" / "challenge")
    parser.add_argument("--output", type=Path, help="write all figures to this file, as JSON")
    options = parser.parse_args(arguments)
    classifier = load(options.model)
    challenge = read_csv(options.challenge / "challenge.csv", "category")
    sets = {**read_mixture(options.mixture), "sample": read_sample(), "challenge": challenge}
    found = {
        "precision": str(classifier.precision),
        "sets": {name: figures(classifier, data) for name, data in sets.items()},
        "challenge": by_category(classifier, challenge),
        "swaps": swap_shifts(classifier, read_csv(options.challenge / "swaps.csv", "group")),
    }
    report(found, Console())
    if options.output is not None:
        options.output.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
