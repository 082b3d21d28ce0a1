"""The profiler says where the time of a step goes, and changes nothing."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from resuming import assert_same_end, job_of, trained_by

from emotions_cli.training import Note, Step, train
from emotions_cli.training.profile import FOLLOWED, SECTIONS, SKIPPED


def test_a_trace_and_a_table_are_written_and_the_run_is_the_same(dropping_base: Path, easy_data: Path, tmp_path: Path) -> None:
    recipe = {"epochs": 12}
    trained_by(job_of(dropping_base, easy_data, tmp_path / "plain", **recipe))
    events = trained_by(replace(job_of(dropping_base, easy_data, tmp_path / "run", **recipe), profile=True))
    assert_same_end(tmp_path / "run", tmp_path / "plain")
    (note,) = (event.text for event in events if isinstance(event, Note))
    shares = [int(share) for share in re.findall(r"(\d+) %", note)]
    assert len(shares) == len(SECTIONS) + 1
    assert 95 <= sum(shares) <= 105
    table = (tmp_path / "run" / "profile" / "table.txt").read_text(encoding="utf-8")
    assert table.startswith(f"A step and what comes with it, mean of {FOLLOWED}: ")
    assert "aten::addmm" in table
    trace = json.loads((tmp_path / "run" / "profile" / "trace.json").read_text(encoding="utf-8"))
    names = [event.get("name") for event in trace["traceEvents"]]
    assert names.count("step: forward") == FOLLOWED
    assert SKIPPED + FOLLOWED < 36
    assert not (tmp_path / "plain" / "profile").exists()


def test_of_a_short_run_fewer_steps_are_followed(tiny_base: Path, easy_data: Path, tmp_path: Path) -> None:
    # seven steps of which two are left out; patience ends it behind the sixth
    job = job_of(tiny_base, easy_data, tmp_path / "run", epochs=1, eval_steps=1, batch_size=3, patience=1, metric="accuracy")
    events = list(train(replace(job, profile=True, bundle=False)))
    steps = sum(isinstance(event, Step) for event in events)
    assert any(isinstance(event, Note) and event.text.startswith("profile: a step takes") for event in events)
    trace = json.loads((tmp_path / "run" / "profile" / "trace.json").read_text(encoding="utf-8"))
    assert [event.get("name") for event in trace["traceEvents"]].count("step: forward") == steps - 2 > 0
