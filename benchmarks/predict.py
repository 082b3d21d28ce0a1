"""Prediction beside its peers: speed, agreement with fp32, start-up and memory, in one run.

    python benchmarks/predict.py speed --model BUNDLE --data FILE…
    python benchmarks/predict.py agreement --model BUNDLE --data FILE…
    python benchmarks/predict.py startup --model BUNDLE
    python benchmarks/predict.py memory --model BUNDLE --data FILE… --rows 1000000

Files are anything ``emotions predict`` reads, with a column ``text``. Ours is always the whole command, from its start to its
last byte. Of the peers (extra ``bench``) only the loop over the texts is timed, in their favour: not their imports, nor
reading the weights. All use the same weights. Every section is repeated and the medians are reported.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from emotions_cli import load
from emotions_cli.encoding import batches_by_length
from emotions_cli.metrics.probabilities import probabilities
from emotions_cli.models.bundle import WEIGHTS_FILE, Bundle
from emotions_cli.models.ref import open_model
from emotions_cli.runtime.cpu import usable_cpus
from emotions_cli.streams.readers import open_rows

PEER_BATCH = 32
COMMAND = [sys.executable, "-m", "emotions_cli"]
SAMPLE_SECONDS = 0.25


def read_texts(files: Sequence[Path], count: int) -> list[str]:
    """Read texts, in the order of the files, and draw ``count`` of them without repetition."""
    texts: list[str] = []
    for file in files:
        with open_rows(file) as source:
            texts.extend(str(row["text"]) for row in source.rows)
    chosen = np.random.default_rng(0).permutation(len(texts))[:count]
    return [texts[i] for i in chosen]


def write_csv(path: Path, texts: Sequence[str], rows: int | None = None) -> Path:
    """Write texts as a CSV with an id and a number beside them, over and over until there are ``rows``."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "text", "stars"])
        for i in range(rows or len(texts)):
            writer.writerow([i, texts[i % len(texts)], i % 5 + 1])
    return path


def ours(model: Path, file: Path, *options: str) -> float:
    """Run the whole command and return its seconds."""
    began = time.perf_counter()
    command = [*COMMAND, "predict", str(file), "--model", str(model), "--text-column", "text", *options]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def pipeline_seconds(bundle: Bundle, texts: list[str]) -> float:
    """``transformers.pipeline``, batch 32, as its documentation shows it."""
    from transformers import pipeline

    classify = pipeline("text-classification", model=str(bundle.path), device="cpu", batch_size=PEER_BATCH)
    classify(texts[:PEER_BATCH])
    began = time.perf_counter()
    classify(texts, truncation=True, max_length=bundle.manifest.max_length)
    return time.perf_counter() - began


def openvino_logits(bundle: Bundle) -> Callable[[list[Any]], Any]:
    """OpenVINO in bf16 on the exported graph of PyTorch, texts sorted by length."""
    import openvino
    import torch
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(bundle.path).eval()
    example = {name: torch.ones((2, 8), dtype=torch.int64) for name in ("input_ids", "attention_mask", "token_type_ids")}
    shapes = [(name, [-1, -1]) for name in example]
    converted = openvino.convert_model(model, example_input=example, input=shapes)
    compiled = openvino.Core().compile_model(
        converted,
        "CPU",
        {"INFERENCE_PRECISION_HINT": "bf16", "INFERENCE_NUM_THREADS": usable_cpus(), "PERFORMANCE_HINT": "LATENCY"},
    )
    encoder, labels = bundle.encoder(), len(bundle.labels)

    def run(tokens: list[Any]) -> Any:
        logits = np.zeros((len(tokens), labels), np.float32)
        for indices in batches_by_length([len(t) for t in tokens], PEER_BATCH):
            logits[indices] = next(iter(compiled(encoder.pad([tokens[i] for i in indices])).values()))
        return logits

    return run


def ctranslate2_logits(bundle: Bundle) -> Callable[[list[Any]], Any]:
    """CTranslate2 in int8, a scale a row; its encoder knows no classifier, so the head is ours. Texts sorted by length."""
    import ctranslate2
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    whole = AutoModelForSequenceClassification.from_pretrained(bundle.path)
    weight, bias = whole.classifier.weight.detach().numpy(), whole.classifier.bias.detach().numpy()
    with tempfile.TemporaryDirectory() as folder:
        body, converted = Path(folder) / "body", Path(folder) / "converted"
        whole.bert.config.architectures = ["BertModel"]
        whole.bert.save_pretrained(body)
        AutoTokenizer.from_pretrained(bundle.path).save_pretrained(body)
        ctranslate2.converters.TransformersConverter(str(body)).convert(str(converted), quantization="int8")
        encoder = ctranslate2.Encoder(str(converted), device="cpu", compute_type="int8", intra_threads=usable_cpus())

    def run(tokens: list[Any]) -> Any:
        logits = np.zeros((len(tokens), len(bias)), np.float32)
        for indices in batches_by_length([len(t) for t in tokens], PEER_BATCH):
            pooled = np.array(encoder.forward_batch([list(tokens[i].ids) for i in indices]).pooler_output)
            logits[indices] = pooled @ weight.T + bias
        return logits

    return run


PEERS = {"OpenVINO bf16, sorted": openvino_logits, "CTranslate2 int8, sorted": ctranslate2_logits}


def speed(arguments: argparse.Namespace) -> dict[str, Any]:
    """Texts a second; the pipeline reads fewer texts, spread over all, since it takes ten times as long."""
    bundle = open_model(arguments.model)
    texts = read_texts(arguments.data, arguments.texts)
    few = texts[:: max(1, len(texts) // arguments.peer_texts)]
    encoded = bundle.encoder().encode(texts)
    rates: dict[str, list[float]] = {}

    def note(name: str, count: int, seconds: float) -> None:
        rates.setdefault(name, []).append(count / seconds)
        print(f"  {name}: {count / seconds:,.0f} texts/s", flush=True)

    runs = {}
    for name, make in PEERS.items():
        try:
            runs[name] = make(bundle)
        except ImportError:
            print(f"  {name}: not installed", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        file = write_csv(Path(folder) / "texts.csv", texts)
        for _ in range(arguments.repeat):
            note("transformers pipeline, batch 32", len(few), pipeline_seconds(bundle, few))
            for name, run in runs.items():
                began = time.perf_counter()
                run(encoded)
                note(name, len(encoded), time.perf_counter() - began)
            note("emotions predict --precision fp32", len(texts), ours(arguments.model, file, "--precision", "fp32"))
            note("emotions predict", len(texts), ours(arguments.model, file))
    base = statistics.median(rates["transformers pipeline, batch 32"])
    return {name: {"texts_per_second": statistics.median(v), "ratio": statistics.median(v) / base} for name, v in rates.items()}


def agreement(arguments: argparse.Namespace) -> dict[str, Any]:
    """How the default and the peers agree with fp32, and the default with itself in other company."""
    bundle = open_model(arguments.model)
    exact, default = load(arguments.model, precision="fp32"), load(arguments.model)
    result: dict[str, Any] = {}
    for file in arguments.data:
        texts = read_texts([file], arguments.texts)
        expected, found = exact.scores(texts), default.scores(texts)
        name = f"{file.parent.name}/{file.stem}"
        result[f"{name}: emotions predict ({default.precision})"] = compared(bundle, expected, found)
        few = texts[: arguments.alone]
        others = {
            "alone": np.concatenate([default.scores([text]) for text in few]),
            "backwards": default.scores(texts[::-1])[::-1][: len(few)],
            "one thread": load(arguments.model, threads=1).scores(few),
        }
        for company, scores in others.items():
            result[f"{name}: default, {company}"] = compared(bundle, found[: len(few)], scores)
        encoded = bundle.encoder().encode(texts)
        for peer, make in PEERS.items():
            try:
                logits = make(bundle)(encoded)
            except ImportError:
                continue
            scores = probabilities(logits, bundle.manifest.task, bundle.manifest.temperature)
            result[f"{name}: {peer}"] = compared(bundle, expected, scores)
    return result


def compared(bundle: Bundle, expected: Any, found: Any) -> dict[str, float]:
    """Share of equal answers; mean difference of the answered label's score (the largest of all labels for several)."""
    apart = np.abs(expected - found)
    if bundle.manifest.thresholds is None:
        same = expected.argmax(axis=1) == found.argmax(axis=1)
        mean = apart[np.arange(len(apart)), expected.argmax(axis=1)].mean()
    else:
        cuts = np.asarray(bundle.manifest.thresholds)
        same = ((expected >= cuts) == (found >= cuts)).all(axis=1)
        mean = apart.max(axis=1).mean()
    return {"same_label": float(same.mean()), "mean_difference": float(mean), "largest": float(apart.max()), "texts": len(apart)}


def startup(arguments: argparse.Namespace) -> dict[str, Any]:
    """Seconds from first to last byte of a process; and until a process that has imported everything can answer."""
    text = "They lost my parcel again!"
    bundle = open_model(arguments.model)
    path = bundle.path
    peer = (
        f"from transformers import pipeline; print(pipeline('text-classification', model={str(path)!r}, device='cpu')({text!r}))"
    )
    script = shutil.which("emotions")
    command = [script] if script else COMMAND
    commands = {
        "emotions --help": [*command, "--help"],
        "emotions predict TEXT": [*command, "predict", text, "--model", str(arguments.model)],
    }
    if WEIGHTS_FILE in bundle.manifest.files:
        commands["transformers pipeline, same text"] = [sys.executable, "-c", peer]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(arguments.repeat + 1):
        for name, words in commands.items():
            began = time.perf_counter()
            subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - began)
        began = time.perf_counter()
        load(arguments.model)
        seconds.setdefault("load(), libraries imported", []).append(time.perf_counter() - began)
    # the first round fills the system's cache of files
    return {name: {"seconds": statistics.median(values[1:])} for name, values in seconds.items()}


def memory(arguments: argparse.Namespace) -> dict[str, Any]:
    """Resident memory of the command while it answers a long CSV, and when its first rows came out. Needs ``/proc``."""
    texts = read_texts(arguments.data, arguments.texts)
    with tempfile.TemporaryDirectory() as folder:
        # texts of real columns repeat; a window of 4,096 rows holds as many different ones as there are
        file = write_csv(Path(folder) / "long.csv", texts, arguments.rows)
        began = time.perf_counter()
        process = subprocess.Popen(
            [*COMMAND, "predict", str(file), "--model", str(arguments.model), "--text-column", "text"], stdout=subprocess.PIPE
        )
        samples: list[tuple[int, float]] = []
        seen = 0
        ended = threading.Event()

        def watch() -> None:
            while not ended.wait(SAMPLE_SECONDS):
                samples.append((seen, resident_mb(process.pid)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        first = None
        assert process.stdout is not None
        for line in process.stdout:
            seen += 1
            if first is None and line.endswith(b"\n") and seen > 1:
                first = time.perf_counter() - began
        ended.set()
        watcher.join()
        process.wait()
        seconds = time.perf_counter() - began
    early = [size for rows, size in samples if 10_000 <= rows <= 50_000]
    late = [size for rows, size in samples if rows > arguments.rows * 0.9 and size]
    return {
        "memory": {
            "rows": seen - 1,
            "first_row_seconds": first,
            "peak_mb": max(size for _, size in samples),
            "mb_at_10000_to_50000_rows": statistics.median(early) if early else None,
            "mb_at_the_end": statistics.median(late) if late else None,
            "rows_per_second": (seen - 1) / seconds,
            "exit": process.returncode,
        }
    }


def resident_mb(process: int) -> float:
    """Return the resident memory of a process in MB, 0 when it has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0.0)


def show(title: str, result: dict[str, Any]) -> None:
    """Print a table of named rows."""
    columns = list(dict.fromkeys(key for row in result.values() for key in row))
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for name, row in result.items():
        table.add_row(name, *(f"{row[c]:,.4f}" if isinstance(row.get(c), float) else str(row.get(c, "")) for c in columns))
    Console(width=160).print(table)


def main() -> None:
    """Run a section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", choices=["speed", "agreement", "startup", "memory"])
    parser.add_argument("--model", type=Path, required=True, help="a run's folder or a bundle's")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="files with a column 'text'")
    parser.add_argument("--texts", type=int, default=20_000, help="most texts that are used")
    parser.add_argument("--peer-texts", type=int, default=2_000, help="texts of the pipeline")
    parser.add_argument("--alone", type=int, default=1_000, help="texts that are also answered alone")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the long CSV")
    parser.add_argument("--repeat", type=int, default=3, help="rounds")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    sections = {"speed": speed, "agreement": agreement, "startup": startup, "memory": memory}
    result = sections[arguments.section](arguments)
    show(arguments.section, result)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
