"""Several data sets become one: relabelled, corrected, capped, repeated, and with nothing leaked."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from typer.testing import Result

from emotions_cli.data.dataset import TRAIN, VALIDATION
from emotions_cli.data.mixture import Mixed, mix, read_mixture, text_hash
from emotions_cli.errors import DataError

Emotions = Callable[..., Result]


def write_rows(path: Path, rows: Sequence[tuple[str, str]], columns: tuple[str, str] = ("text", "label")) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([columns, *rows])
    return path


def two_sources(folder: Path, extra: str = "") -> Path:
    """Tweets with two labels, and reviews whose labels have other names; ``extra`` goes to the reviews."""
    tweets = [(f"glad {i}", "joy") for i in range(20)] + [(f"cross {i}", "anger") for i in range(5)]
    write_rows(folder / "tweets" / "train.csv", tweets)
    write_rows(folder / "tweets" / "validation.csv", [("so glad", "joy"), ("so cross", "anger")])
    write_rows(folder / "reviews" / "train.csv", [(f"fine {i}", "happy") for i in range(4)] + [("hm", "odd")])
    write_rows(folder / "reviews" / "validation.csv", [("lovely", "happy")])
    (folder / "map.toml").write_text('[labels]\njoy = ["happy"]\n', encoding="utf-8")
    file = folder / "mix.toml"
    file.write_text(
        '[[sources]]\nname = "tweets"\nreference = "tweets"\nat_most = { joy = 8 }\n'
        f'[[sources]]\nname = "reviews"\nreference = "reviews"\nlabel_map = "map.toml"\n{extra}\n',
        encoding="utf-8",
    )
    return file


def counts(mixed: Mixed, split: str) -> Counter[tuple[str, str]]:
    return Counter((row.source, row.label) for row in mixed.splits[split])


def test_sources_are_mapped_capped_and_repeated(tmp_path: Path) -> None:
    mixed = mix(read_mixture(two_sources(tmp_path / "in", "repeat = 3")))
    assert counts(mixed, TRAIN) == {("tweets", "joy"): 8, ("tweets", "anger"): 5, ("reviews", "joy"): 12}
    assert counts(mixed, VALIDATION) == {("tweets", "joy"): 1, ("tweets", "anger"): 1, ("reviews", "joy"): 1}
    assert mixed.labels.names == ("joy", "anger")


def test_the_same_file_gives_the_same_rows_and_another_seed_others(tmp_path: Path) -> None:
    mixture = read_mixture(two_sources(tmp_path / "in"))
    assert mix(mixture) == mix(mixture)
    assert mix(mixture).splits[TRAIN] != mix(mixture.model_copy(update={"seed": 3})).splits[TRAIN]


def test_corrections_change_and_drop_training_rows_only(tmp_path: Path) -> None:
    file = two_sources(tmp_path / "in", 'corrections = "fixes.csv"')
    write_rows(tmp_path / "in" / "reviews" / "train.csv", [(f"fine {i}", "happy") for i in range(4)] + [("hm", "cross")])
    (tmp_path / "in" / "map.toml").write_text('[labels]\njoy = ["happy"]\nanger = ["cross"]\n', encoding="utf-8")
    rows = [(text_hash("fine 0"), "anger"), (text_hash("fine 1"), ""), (text_hash("lovely"), "joy"), (text_hash("?"), "joy")]
    write_rows(tmp_path / "in" / "fixes.csv", rows, ("text_sha256", "label"))
    mixed = mix(read_mixture(file))
    assert counts(mixed, TRAIN)["reviews", "anger"] == 2
    assert counts(mixed, TRAIN)["reviews", "joy"] == 2
    assert counts(mixed, VALIDATION)["reviews", "joy"] == 1
    said = "reviews: 1 training rows have a corrected label, 1 are left out; 2 corrections are of other texts"
    assert said in mixed.notes


def test_leaked_and_contradictory_texts_are_left_out(tmp_path: Path) -> None:
    file = two_sources(tmp_path / "in")
    reviews = [("SO  glad", "happy"), ("cross 1", "happy"), ("fine", "happy"), ("fine", "happy")]
    write_rows(tmp_path / "in" / "reviews" / "train.csv", reviews)
    mixed = mix(read_mixture(file))
    texts = [row.text for row in mixed.splits[TRAIN]]
    assert "SO  glad" not in texts
    assert "cross 1" not in texts
    assert texts.count("fine") == 1
    assert any(note.startswith("1 training texts stand in held-out data or another split") for note in mixed.notes)
    assert any(note.startswith("1 training texts have different labels") for note in mixed.notes)


def test_held_out_texts_are_not_trained_on_however_they_are_punctuated(tmp_path: Path) -> None:
    file = two_sources(tmp_path / "in")
    file.write_text('held_out = ["apart.csv"]\n' + file.read_text(encoding="utf-8"), encoding="utf-8")
    write_rows(tmp_path / "in" / "apart.csv", [("Fine, thanks!!", "joy"), ("🙂", "joy")])
    reviews = [("fine thanks 🎉", "happy"), ("fine thanks a lot", "happy"), ("🙂", "happy"), ("🙂🙂", "happy")]
    write_rows(tmp_path / "in" / "reviews" / "train.csv", reviews)
    texts = {row.text for row in mix(read_mixture(file)).splits[TRAIN] if row.source == "reviews"}
    assert texts == {"fine thanks a lot", "🙂🙂"}


def test_a_local_copy_is_read_in_place_of_the_reference(tmp_path: Path) -> None:
    write_rows(tmp_path / "copies" / "far" / "train.csv", [("glad", "joy"), ("cross", "anger")])
    write_rows(tmp_path / "copies" / "far" / "validation.csv", [("happy", "joy")])
    file = tmp_path / "mix.toml"
    file.write_text('[[sources]]\nname = "far"\nreference = "hf:someone/far"\n', encoding="utf-8")
    mixed = mix(read_mixture(file), copies=tmp_path / "copies")
    assert [row.text for row in mixed.splits[TRAIN]] == ["glad", "cross"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "sources"),
        ("sources = 3", "sources"),
        ('[[sources]]\nname = "a"\nreference = "b"\ntimes = 2', "times"),
        ('[[sources]]\nname = "a"\nreference = "b"\nrepeat = 0', "repeat"),
        ('[[sources]]\nname = "a"\nreference = "b"\n[[sources]]\nname = "a"\nreference = "c"', "same name"),
        ("[[sources", "can't be read"),
    ],
)
def test_malformed_files_are_told(tmp_path: Path, content: str, expected: str) -> None:
    file = tmp_path / "mix.toml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as told:
        read_mixture(file)
    assert expected in told.value.message


def test_a_file_that_is_not_there_and_one_with_several_labels_are_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not there"):
        read_mixture(tmp_path / "none.toml")
    folder = tmp_path / "several"
    folder.mkdir()
    for split in ("train", "validation"):
        (folder / f"{split}.jsonl").write_text('{"text": "a", "labels": ["joy", "fear"]}\n', encoding="utf-8")
    (tmp_path / "mix.toml").write_text('[[sources]]\nname = "a"\nreference = "several"\n', encoding="utf-8")
    with pytest.raises(DataError, match="several labels a text"):
        mix(read_mixture(tmp_path / "mix.toml"))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("abc", "joy")], "is no hash"),
        ([("0" * 16, "joi")], "no label 'joi'. Did you mean 'joy'?"),
        ([("0" * 16, "joy"), ("0" * 16, "")], "has two labels"),
    ],
)
def test_malformed_corrections_are_told(tmp_path: Path, rows: list[tuple[str, str]], expected: str) -> None:
    file = two_sources(tmp_path / "in", 'corrections = "fixes.csv"')
    write_rows(tmp_path / "in" / "fixes.csv", rows, ("text_sha256", "label"))
    with pytest.raises(DataError) as told:
        mix(read_mixture(file))
    assert expected in told.value.message


def test_a_limit_of_no_label_and_copies_that_are_not_there_are_told(tmp_path: Path) -> None:
    mixture = read_mixture(two_sources(tmp_path / "in", "at_most = { joi = 3 }"))
    with pytest.raises(DataError, match="limits label 'joi'"):
        mix(mixture)
    with pytest.raises(DataError, match="local copies is not there"):
        mix(mixture, copies=tmp_path / "nowhere")


def test_texts_of_a_test_split_are_not_trained_on(tmp_path: Path) -> None:
    file = two_sources(tmp_path / "in")
    write_rows(tmp_path / "in" / "reviews" / "test.csv", [("Cross 2", "happy")])
    assert "cross 2" not in [row.text for row in mix(read_mixture(file)).splits[TRAIN]]


def test_the_command_replaces_a_mixture_and_nothing_else(emotions: Emotions, tmp_path: Path) -> None:
    file = two_sources(tmp_path / "in")
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "test.jsonl").write_text("{}", encoding="utf-8")
    assert emotions("data", "mix", file, "--output", "mixed").exit_code == 1
    assert [path.name for path in (tmp_path / "mixed").iterdir()] == ["test.jsonl"]
    for _ in range(2):
        assert emotions("data", "mix", file, "--output", "other").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == ["train.jsonl", "validation.jsonl"]


def test_corrections_without_their_columns_are_told(tmp_path: Path) -> None:
    file = two_sources(tmp_path / "in", 'corrections = "fixes.csv"')
    write_rows(tmp_path / "in" / "fixes.csv", [("a", "b")], ("text_sha256", "emotion"))
    with pytest.raises(DataError, match="have no column label"):
        mix(read_mixture(file))


def test_the_command_writes_what_train_reads(emotions: Emotions, tmp_path: Path) -> None:
    result = emotions("data", "mix", two_sources(tmp_path / "in"), "--output", "mixed")
    assert result.exit_code == 0
    assert "reviews" in result.stdout
    first = json.loads((tmp_path / "mixed" / "train.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert first.keys() == {"text", "label", "source"}
    shown = emotions("data", "show", "mixed", "--json")
    assert shown.exit_code == 0
    assert json.loads(shown.stdout)["task"] == "single-label"
