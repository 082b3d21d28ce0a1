"""A label map renames, merges and drops labels, and says what is wrong with itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from emotions_cli.data import DataRequest, load_dataset
from emotions_cli.data.dataset import LabelledTexts
from emotions_cli.data.label_map import LabelMap, read_label_map
from emotions_cli.errors import DataError
from emotions_cli.labels import Task

BODY = """
[labels]
joy = ["amusement", "joy"]
anger = ["annoyance", "anger"]
calm = "neutral"
"""


def label_map(folder: Path, body: str) -> LabelMap:
    path = folder / "map.toml"
    path.write_text(body, encoding="utf-8")
    return read_label_map(path)


def mapped(found: LabelMap, *labels: tuple[str, ...]) -> list[tuple[str, ...]]:
    rows = found.apply(LabelledTexts.of((f"text {i}", row) for i, row in enumerate(labels)))
    return [rows.label_sets[code] for code in rows.codes]


def test_a_map_is_read(tmp_path: Path) -> None:
    found = label_map(tmp_path, BODY)
    assert found.names == ("joy", "anger", "calm")
    assert found.new_names["amusement"] == "joy"
    assert found.new_names["neutral"] == "calm"
    assert found.task is Task.SINGLE_LABEL
    assert not found.keep_unlisted


def test_single_label_rows_count_when_all_their_labels_become_one(tmp_path: Path) -> None:
    found = label_map(tmp_path, BODY)
    assert mapped(found, ("amusement",), ("amusement", "joy")) == [("joy",), ("joy",)]
    assert mapped(found, ("joy", "anger"), ("joy", "grief"), ("grief",), ()) == []


def test_multi_label_rows_keep_what_is_listed(tmp_path: Path) -> None:
    found = label_map(tmp_path, 'task = "multi-label"\n' + BODY)
    assert found.task is Task.MULTI_LABEL
    assert mapped(found, ("amusement", "joy", "anger"), ("grief", "neutral"), ("grief",), ()) == [("joy", "anger"), ("calm",)]


def test_unlisted_labels_can_stay(tmp_path: Path) -> None:
    single = label_map(tmp_path, 'unlisted = "keep"\n' + BODY)
    assert mapped(single, ("grief",), ("amusement",), ("joy", "grief")) == [("grief",), ("joy",)]
    several = label_map(tmp_path, 'unlisted = "keep"\ntask = "multi-label"\n' + BODY)
    assert mapped(several, ("grief", "amusement")) == [("grief", "joy")]


def test_rows_keep_their_texts_and_order(tmp_path: Path) -> None:
    rows = LabelledTexts.of([("a", ("joy",)), ("b", ("grief",)), ("c", ("anger",))])
    found = label_map(tmp_path, BODY).apply(rows)
    assert list(found.texts) == ["a", "c"]
    assert [found.label_sets[code] for code in found.codes] == [("joy",), ("anger",)]
    assert found.counts == {"joy": 1, "anger": 1}


def test_what_is_absent_or_dropped_is_noted(tmp_path: Path) -> None:
    found = label_map(tmp_path, BODY)
    absent, dropped = found.notes(["amusements", "joy", "anger", "annoyance", "neutral", "grief"])
    assert "the data has no label 'amusement' Did you mean 'amusements'?" in absent
    assert dropped.endswith("labels not listed are dropped: amusements, grief")
    assert found.notes(["amusement", "joy", "anger", "annoyance", "neutral"]) == []
    assert label_map(tmp_path, 'unlisted = "keep"\n' + BODY).notes([*found.new_names, "grief"]) == []


def test_a_map_that_fits_no_label_of_the_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lists none of the data's labels \(grief, relief\)") as caught:
        label_map(tmp_path, BODY).notes(["relief", "grief"])
    assert "[labels]" in caught.value.hint


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[labels\n", "can't be read"),
        ("", r"has no \[labels\] table"),
        ("labels = 3\n", r"has no \[labels\] table"),
        ('labels = ["joy"]\n', r"has no \[labels\] table"),
        ("[labels]\n", r"has no \[labels\] table"),
        ('lables = 1\n[labels]\njoy = ["joy"]\n', r"unknown key 'lables'\. Did you mean 'labels'\?"),
        ('task = "binary"\n[labels]\njoy = ["joy"]\n', "task is 'single-label' or 'multi-label', not 'binary'"),
        ('task = 3\n[labels]\njoy = ["joy"]\n', "task is 'single-label' or 'multi-label', not 3"),
        ('task = ["single-label"]\n[labels]\njoy = ["joy"]\n', "task is 'single-label' or 'multi-label'"),
        ('unlisted = "maybe"\n[labels]\njoy = ["joy"]\n', "unlisted is 'drop' or 'keep', not 'maybe'"),
        ('unlisted = ["drop"]\n[labels]\njoy = ["joy"]\n', "unlisted is 'drop' or 'keep'"),
        ("[labels]\njoy = [3]\n", "'joy' lists 3, which is not a label name"),
        ("[labels]\njoy = 3\n", "'joy'"),
        ("[labels]\njoy = true\n", "'joy'"),
        ('[labels]\njoy = { old = "fun" }\n', "'joy'"),
        ('[labels]\njoy = ["fun"]\nlove = ["fun"]\n', "'fun' is listed under both 'joy' and 'love'"),
    ],
)
def test_a_malformed_map_is_a_data_error(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        label_map(tmp_path, body)
    assert "map.toml" in caught.value.message
    assert caught.value.hint


def test_a_map_that_cannot_be_opened_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'.*no\.toml' is not there") as caught:
        read_label_map(tmp_path / "no.toml")
    assert "--label-map" in caught.value.hint
    with pytest.raises(DataError, match="can't be read"):
        read_label_map(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'[labels]\n"caf\xe9" = ["x"]\n')
    with pytest.raises(DataError, match="can't be read"):
        read_label_map(tmp_path / "latin.toml")


def test_listing_a_label_twice_under_one_name_is_no_conflict(tmp_path: Path) -> None:
    assert label_map(tmp_path, '[labels]\njoy = ["fun", "fun"]\n').names == ("joy",)


def test_loaded_data_has_the_labels_of_the_map_in_its_order(tmp_path: Path) -> None:
    label_map(tmp_path, '[labels]\ngood = ["joy", "love"]\nbad = ["anger"]\nother = ["boredom"]\n')
    data = tmp_path / "data.csv"
    data.write_text("text,label\na,anger\nb,joy\nc,love\nd,fear\n", encoding="utf-8")
    dataset = load_dataset(DataRequest(str(data), label_map=tmp_path / "map.toml"))
    assert dataset.labels.names == ("good", "bad", "other")
    assert dataset.task is Task.SINGLE_LABEL
    assert dataset.split("all").label_ids.tolist() == [1, 0, 0]
    notes = "\n".join(dataset.notes)
    assert "the data has no label 'boredom'" in notes
    assert "labels not listed are dropped: fear" in notes
    assert "1 of 4 rows do not map to the labels and are left out" in notes


def test_multi_label_data_can_become_single_label(tmp_path: Path) -> None:
    label_map(tmp_path, '[labels]\njoy = ["amusement", "joy"]\nanger = ["anger"]\n')
    data = tmp_path / "data.jsonl"
    rows = ['["amusement", "joy"]', '["anger"]', '["joy", "anger"]', "[]"]
    data.write_text("".join(f'{{"text": "t{i}", "labels": {row}}}\n' for i, row in enumerate(rows)), encoding="utf-8")
    dataset = load_dataset(DataRequest(str(data), label_map=tmp_path / "map.toml"))
    assert dataset.task is Task.SINGLE_LABEL
    assert list(dataset.split("all").texts) == ["t0", "t1"]
    assert dataset.split("all").targets.sum(axis=1).tolist() == [1, 1]


def test_unlisted_labels_that_stay_follow_in_the_customary_order(tmp_path: Path) -> None:
    label_map(tmp_path, 'unlisted = "keep"\n[labels]\njoy = ["fun"]\n')
    data = tmp_path / "data.csv"
    data.write_text("text,label\na,zeal\nb,fun\nc,anger\n", encoding="utf-8")
    dataset = load_dataset(DataRequest(str(data), label_map=tmp_path / "map.toml"))
    assert dataset.labels.names == ("joy", "anger", "zeal")
