"""Memory and time of training on a data set larger than one would want in memory.

    python benchmarks/large_data.py --data DIR --rows 5000000 --folder /tmp/large --json benchmarks/large_data.json

Writes a Parquet file of so many rows, each two texts of ``DIR`` that have the same label, and trains on all of them for one epoch
with ``emotions train``. The model is tiny, so that the epoch ends within minutes: what counts is what the data takes. The same
command on 20,000 rows, for as many steps as the memory of a process takes to settle, tells what model and libraries need; the
difference is the data's. Memory is the peak of what is
resident, mapped files included, as the system counts it for the process.

``--peer`` also measures the Hugging Face Trainer on a ``datasets`` table of the same file, for 50 steps.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from emotions_cli.data import DataRequest, Dataset, load_dataset

ROWS_AT_ONCE = 100_000
FEW_ROWS, FEW_EPOCHS = 20_000, 20
PEER = """
import sys
import datasets
from transformers import (
    AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer, TrainingArguments
)

path, base, folder = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(base)
table = datasets.load_dataset("parquet", data_files=path, cache_dir=folder)["train"].class_encode_column("label")
table = table.train_test_split(0.1, seed=17, stratify_by_column="label")
names = table["train"].features["label"].names
table = table.map(lambda rows: tokenizer(rows["text"], truncation=True, max_length=128), batched=True, remove_columns="text")
model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=len(names))
arguments = TrainingArguments(
    output_dir=folder, max_steps=50, per_device_train_batch_size=512, use_cpu=True, report_to=[], save_strategy="no",
    disable_tqdm=True,
)
Trainer(model, arguments, train_dataset=table["train"], data_collator=DataCollatorWithPadding(tokenizer)).train()
"""


def write_rows(dataset: Dataset, path: Path, rows: int) -> None:
    """Write rows that are pairs of texts with the same label, in parts, so that this process stays small."""
    train = dataset.split("train")
    texts = np.array(train.texts, dtype=object)
    by_label = [np.flatnonzero(train.label_ids == i) for i in range(len(dataset.labels))]
    names = np.array(dataset.labels.names, dtype=object)
    rng = np.random.default_rng(17)
    schema = pa.schema({"text": pa.string(), "label": pa.string()})
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, ROWS_AT_ONCE):
            first = rng.integers(0, len(texts), min(ROWS_AT_ONCE, rows - start))
            labels = train.label_ids[first]
            second = np.array([by_label[label][int(rng.integers(len(by_label[label])))] for label in labels])
            pairs = [f"{a} {b}" for a, b in zip(texts[first], texts[second], strict=True)]
            writer.write_table(pa.table({"text": pairs, "label": names[labels].tolist()}, schema=schema))


def write_model(folder: Path) -> None:
    """Write a BERT of one small layer with the tokenizer of MiniLM."""
    import torch
    from transformers import BertConfig, BertModel

    from emotions_cli.training.base_models import find_base_model

    base = find_base_model("sentence-transformers/all-MiniLM-L6-v2").folder
    config = BertConfig.from_pretrained(base, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    torch.manual_seed(0)
    BertModel(config).save_pretrained(folder)
    for file in base.iterdir():
        if "token" in file.name or file.name == "vocab.txt":
            shutil.copy(file, folder)


def measured(command: list[str], **environment: str) -> dict[str, float]:
    """Run a command and return its peak of resident memory (MB) and its time (s)."""
    began = time.perf_counter()
    process = subprocess.Popen(command, env={**os.environ, **environment})
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status):
        raise SystemExit(f"failed: {' '.join(command)}")
    # Linux counts in KiB, macOS in bytes
    unit = 1 if sys.platform == "darwin" else 1024
    return {"peak_mb": usage.ru_maxrss * unit / 1e6, "seconds": time.perf_counter() - began}


def train_command(data: Path, base: Path, folder: Path, epochs: int) -> list[str]:
    """The command under test."""
    options = [
        "--epochs",
        str(epochs),
        "--batch-size",
        "512",
        "--set",
        "training.fast_file=false",
        "--set",
        f"cache.folder={folder / 'cache'}",
    ]
    where = ["--base-model", str(base), "--output", str(folder / data.stem), "--force"]
    return [sys.executable, "-m", "emotions_cli", "train", "--data", str(data), *where, *options]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="single-label data with a train split")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path, required=True, help="where the files go; they are kept")
    parser.add_argument("--peer", action="store_true", help="also measure the Trainer")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    chosen = parser.parse_args()
    folder: Path = chosen.folder
    folder.mkdir(parents=True, exist_ok=True)
    dataset = load_dataset(DataRequest(chosen.data))
    few, many, base = folder / "few.parquet", folder / f"{chosen.rows}.parquet", folder / "base"
    write_rows(dataset, few, FEW_ROWS)
    if not many.exists():
        write_rows(dataset, many, chosen.rows)
    write_model(base)
    small = measured(train_command(few, base, folder, FEW_EPOCHS))
    large = measured(train_command(many, base, folder, 1))
    results: dict[str, dict[str, Any]] = {
        f"emotions train, {FEW_ROWS:,} rows": small,
        f"emotions train, {chosen.rows:,} rows": large,
    }
    if chosen.peer:
        results["Trainer, 50 steps"] = measured([sys.executable, "-c", PEER, str(many), str(base), str(folder / "peer")])
    table = Table(
        "", "peak MB", "above few rows", "seconds", title=f"{chosen.rows:,} rows, {many.stat().st_size / 1e6:,.0f} MB of Parquet"
    )
    for name, result in results.items():
        above = result["peak_mb"] - small["peak_mb"]
        table.add_row(name, f"{result['peak_mb']:,.0f}", f"{above:,.0f}", f"{result['seconds']:,.0f}")
    Console(width=110).print(table)
    if chosen.json:
        figures = {"rows": chosen.rows, "parquet_mb": many.stat().st_size / 1e6, **results}
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
