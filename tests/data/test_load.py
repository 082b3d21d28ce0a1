"""References become splits: a folder, one file, a glob, three files; what is missing or mixed is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emotions_cli.data import DataRequest, Dataset, load_dataset
from emotions_cli.data.files import FileOptions
from emotions_cli.data.load import sample_folder, with_validation
from emotions_cli.errors import DataError
from emotions_cli.labels import Task
from emotions_cli.streams.formats import Format


def write(path: Path, *rows: str, header: str = "text,label") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{row}\n" for row in (header, *rows)), encoding="utf-8")
    return path


def write_json(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def load(reference: Path | str, **options: Any) -> Dataset:
    return load_dataset(DataRequest(str(reference), **options))


def texts_of(dataset: Dataset) -> dict[str, list[str]]:
    return {name: list(part.texts) for name, part in dataset.splits.items()}


def labels_of(dataset: Dataset, split: str = "all") -> list[tuple[str, ...]]:
    return [
        tuple(name for name, on in zip(dataset.labels, row, strict=True) if on) for row in dataset.split(split).targets.tolist()
    ]


def test_one_file_is_one_split(tmp_path: Path) -> None:
    dataset = load(write(tmp_path / "reviews.csv", "so good,joy", "so bad,anger"))
    assert list(dataset.splits) == ["all"]
    assert list(dataset.split("all").texts) == ["so good", "so bad"]
    assert labels_of(dataset) == [("joy",), ("anger",)]
    assert dataset.task is Task.SINGLE_LABEL
    assert dataset.notes == ("text column: 'text' (guessed)", "label column: 'label' (guessed)")


def test_labels_stand_in_the_customary_order(tmp_path: Path) -> None:
    dataset = load(write(tmp_path / "a.csv", "a,zeal", "b,surprise", "c,awe", "d,sadness", "e,joy"))
    assert dataset.labels.names == ("sadness", "joy", "surprise", "awe", "zeal")


def test_a_folder_has_a_file_a_split(tmp_path: Path) -> None:
    write(tmp_path / "training.csv", "a,joy")
    write(tmp_path / "DEV.tsv", "b\tjoy", header="text\tlabel")
    write_json(tmp_path / "test.jsonl", {"text": "c", "label": "fear"})
    write(tmp_path / "README.txt", "not data")
    write(tmp_path / "extra.csv", "d,joy")
    dataset = load(tmp_path)
    assert texts_of(dataset) == {"train": ["a"], "validation": ["b"], "test": ["c"]}
    assert dataset.labels.names == ("joy", "fear")


def test_a_folder_with_two_files_for_a_split_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "a,joy")
    write(tmp_path / "train.tsv", "a\tjoy", header="text\tlabel")
    with pytest.raises(DataError, match=r"several files for the train split: train\.csv, train\.tsv") as caught:
        load(tmp_path)
    assert caught.value.hint


def test_a_folder_without_split_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "reviews.csv", "a,joy")
    with pytest.raises(DataError, match="has no train, validation or test file") as caught:
        load(tmp_path)
    assert "train.csv" in caught.value.hint


def test_files_of_a_glob_are_read_in_order_of_name(tmp_path: Path) -> None:
    write(tmp_path / "part-2.csv", "c,fear")
    write(tmp_path / "part-1.csv", "a,joy", "b,joy")
    write(tmp_path / "deep" / "part-3.csv", "d,joy")
    assert list(load(tmp_path / "part-*.csv").split("all").texts) == ["a", "b", "c"]
    assert len(load(tmp_path / "**" / "*.csv").split("all")) == 4


def test_a_glob_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No file matches '.*\*\.csv'") as caught:
        load(tmp_path / "*.csv")
    assert "pattern" in caught.value.hint


def test_a_file_may_have_a_name_like_a_pattern(tmp_path: Path) -> None:
    assert list(load(write(tmp_path / "reviews [2024].csv", "a,joy")).split("all").texts) == ["a"]


def test_three_files_are_three_splits(tmp_path: Path) -> None:
    train = write(tmp_path / "one.csv", "a,joy")
    validation, test = write(tmp_path / "two.csv", "b,joy"), write(tmp_path / "three.csv", "c,fear")
    dataset = load(train, validation=str(validation), test=str(test))
    assert texts_of(dataset) == {"train": ["a"], "validation": ["b"], "test": ["c"]}


def test_a_split_given_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "a,joy")
    validation = write(tmp_path / "validation.csv", "b,joy")
    with pytest.raises(DataError, match="has a validation split already") as caught:
        load(tmp_path, validation=str(validation))
    assert "--validation-data" in caught.value.hint


def test_the_sample_is_a_reference(tmp_path: Path) -> None:
    assert set(load("sample").splits) == {"train", "validation", "test"}
    assert load("sample").fingerprint() == load(sample_folder()).fingerprint()


@pytest.mark.parametrize("name", ["no.csv", "no.parquet"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"'.*{name}' is not there"):
        load(tmp_path / name)


def test_a_missing_folder_is_not_there_either(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'.*reviews' is not there"):
        load(tmp_path / "reviews")


def test_texts_alone_are_no_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has texts but no labels"):
        load(write(tmp_path / "a.txt", "so happy"))


def test_a_header_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no rows"):
        load(write(tmp_path / "a.csv"))


def test_the_format_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "data.dat", "a\tjoy", header="text\tlabel")
    assert labels_of(load(path, files=FileOptions(file_format=Format.TSV))) == [("joy",)]
    with pytest.raises(DataError, match="does not say its format"):
        load(path)


def test_columns_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x,joy,fear", header="a,b,c")
    dataset = load(path, files=FileOptions(text_column="a", label_column="c"))
    assert labels_of(dataset) == [("fear",)]
    assert dataset.notes == ()


def test_texts_like_null_stay_texts(tmp_path: Path) -> None:
    words = ["null", "NA", "nan", "None", ""]
    assert list(load(write(tmp_path / "a.csv", *(f"{word},joy" for word in words))).split("all").texts) == words


@pytest.mark.parametrize("row", ["b,", "b", "b,   "])
def test_a_row_without_a_label_is_named(tmp_path: Path, row: str) -> None:
    with pytest.raises(DataError, match=r"a\.csv' row 2 has") as caught:
        load(write(tmp_path / "a.csv", "a,joy", row, "c,joy"))
    assert "row 2 has no label" in caught.value.message
    assert "Label every row" in caught.value.hint


def test_lists_of_labels_are_read_from_json_lines(tmp_path: Path) -> None:
    path = write_json(
        tmp_path / "a.jsonl",
        {"text": "a", "labels": ["joy", "love"]},
        {"text": "b", "labels": []},
        {"text": "c", "labels": ["anger", "anger"]},
    )
    dataset = load(path)
    assert dataset.task is Task.MULTI_LABEL
    assert labels_of(dataset) == [("joy", "love"), (), ("anger",)]


def test_lists_of_labels_are_read_from_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", "b"], "labels": [["joy", "love"], []]}), tmp_path / "a.parquet")
    dataset = load(tmp_path / "a.parquet")
    assert dataset.task is Task.MULTI_LABEL
    assert labels_of(dataset) == [("joy", "love"), ()]


def test_lists_of_labels_are_read_from_json_in_csv(tmp_path: Path) -> None:
    dataset = load(write(tmp_path / "a.csv", 'a,"[""joy"", ""love""]"', "b,[]"))
    assert dataset.task is Task.MULTI_LABEL
    assert labels_of(dataset) == [("joy", "love"), ()]


def test_a_separator_parts_the_labels_of_a_cell(tmp_path: Path) -> None:
    dataset = load(write(tmp_path / "a.csv", "a,joy|love", "b,", "c,joy"), files=FileOptions(label_separator="|"))
    assert dataset.task is Task.MULTI_LABEL
    assert labels_of(dataset) == [("joy", "love"), (), ("joy",)]


def test_integer_labels_of_parquet_become_names(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", "b"], "label": [1, 0]}), tmp_path / "a.parquet")
    assert load(tmp_path / "a.parquet").labels.names == ("0", "1")


def test_a_null_list_of_labels_is_a_row_without_a_label(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.jsonl", {"text": "a", "labels": ["joy"]}, {"text": "b", "labels": None})
    with pytest.raises(DataError, match="row 2 has no label"):
        load(path)


def test_a_cell_that_is_no_list_among_lists_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 2 has the label 'joy', which is no list of labels"):
        load(write(tmp_path / "a.csv", 'a,"[""joy""]"', "b,joy"))


@pytest.mark.parametrize("cells", [(["joy"], "joy"), ("joy", ["joy"])])
def test_a_list_and_a_name_in_one_file_are_refused(tmp_path: Path, cells: tuple[Any, Any]) -> None:
    path = write_json(tmp_path / "a.jsonl", *({"text": "a", "labels": cell} for cell in cells))
    with pytest.raises(DataError, match="row 2"):
        load(path)


def test_a_split_of_lists_and_one_of_names_are_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "train.jsonl", {"text": "a", "labels": ["joy"]})
    write(tmp_path / "test.csv", "b,joy")
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    assert caught.value.hint


def test_data_of_empty_lists_has_no_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no labelled rows") as caught:
        load(write_json(tmp_path / "a.jsonl", {"text": "a", "labels": []}))
    assert "label column" in caught.value.hint


def test_one_split_is_parted_in_two(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", *(f"{label} {i},{label}" for label in ("joy", "anger") for i in range(20)))
    dataset = with_validation(load(path), 0.1, seed=4)
    assert list(dataset.splits) == ["train", "validation"]
    assert dataset.split("train").support.tolist() == [18, 18]
    assert dataset.split("validation").support.tolist() == [2, 2]
    assert dataset.notes[-1] == "no validation split: 4 of 40 training rows held out, stratified, seed 4"
    again = with_validation(load(path), 0.1, seed=4)
    assert again.fingerprint() == dataset.fingerprint()
    assert with_validation(load(path), 0.1, seed=5).fingerprint() != dataset.fingerprint()


def test_a_test_split_is_kept_apart(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", *(f"{i},joy" for i in range(10)))
    write(tmp_path / "test.csv", "t,joy")
    dataset = with_validation(load(tmp_path), 0.2, seed=1)
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 8, "validation": 2, "test": 1}
    assert list(dataset.split("test").texts) == ["t"]


def test_a_validation_split_that_is_there_stays(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "a,joy", "b,joy")
    write(tmp_path / "validation.csv", "v,joy")
    dataset = with_validation(load(tmp_path), 0.5, seed=1)
    assert list(dataset.split("validation").texts) == ["v"]
    assert len(dataset.split("train")) == 2
    assert not any("held out" in note for note in dataset.notes)


def test_rows_of_several_labels_are_held_out_too(tmp_path: Path) -> None:
    rows = [{"text": f"{i}", "labels": ["joy", "love"] if i % 10 == 0 else ["joy"]} for i in range(100)]
    dataset = with_validation(load(write_json(tmp_path / "a.jsonl", *rows)), 0.2, seed=1)
    assert dataset.split("validation").support.tolist() == [20, 2]


def test_without_training_rows_nothing_is_held_out(tmp_path: Path) -> None:
    write(tmp_path / "test.csv", "a,joy")
    with pytest.raises(DataError, match="has no train split") as caught:
        with_validation(load(tmp_path), 0.1, seed=1)
    assert "train.csv" in caught.value.hint
