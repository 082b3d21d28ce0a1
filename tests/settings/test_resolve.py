"""Settings come from four places in a fixed order, and what does not fit is named with the place it stands in."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from emotions_cli.errors import EXIT_ERROR, SettingsError
from emotions_cli.settings import ResolvedSettings, Settings, TrainingSettings, resolve
from emotions_cli.settings.sources import masked

SECRET = "hf_topsecret123"

Layer = Mapping[str, Mapping[str, Any]]


def resolve_file(
    text: str, *, command_line: Layer | None = None, environment: Mapping[str, str] | None = None
) -> ResolvedSettings:
    """Resolve with a settings file of this content and nothing of this process's environment."""
    path = Path("some.toml")
    path.write_text(text, encoding="utf-8")
    return resolve(command_line, file=path, environment=environment or {})


def test_without_any_source_everything_is_a_default() -> None:
    resolved = resolve(environment={})
    assert resolved.settings == Settings()
    assert {origin for *_, origin in resolved.rows()} == {"default"}


@pytest.mark.parametrize(
    ("command_line", "environment", "file", "expected", "origin"),
    [
        ({}, {}, "", 3, "default"),
        ({}, {}, "epochs = 4", 4, "some.toml"),
        ({}, {"EMOTIONS_TRAINING__EPOCHS": "5"}, "", 5, "EMOTIONS_TRAINING__EPOCHS"),
        ({}, {"EMOTIONS_TRAINING__EPOCHS": "5"}, "epochs = 4", 5, "EMOTIONS_TRAINING__EPOCHS"),
        ({"epochs": 6}, {}, "epochs = 4", 6, "command line"),
        ({"epochs": "6"}, {"EMOTIONS_TRAINING__EPOCHS": "5"}, "", 6, "command line"),
        ({"epochs": 6}, {"EMOTIONS_TRAINING__EPOCHS": "5"}, "epochs = 4", 6, "command line"),
        ({"epochs": None}, {"EMOTIONS_TRAINING__EPOCHS": "5"}, "epochs = 4", 5, "EMOTIONS_TRAINING__EPOCHS"),
        ({"epochs": None}, {}, "", 3, "default"),
    ],
)
def test_the_command_line_beats_the_environment_beats_the_file_beats_the_default(
    command_line: dict[str, Any], environment: dict[str, str], file: str, expected: int, origin: str
) -> None:
    resolved = resolve_file(f"[training]\n{file}\n", command_line={"training": command_line}, environment=environment)
    assert resolved.settings.training.epochs == expected
    assert resolved.origin("training", "epochs") == origin


def test_sources_are_merged_key_by_key() -> None:
    resolved = resolve_file(
        "[training]\nepochs = 4\nseed = 4\nbatch_size = 4\n",
        command_line={"training": {"epochs": 6}},
        environment={"EMOTIONS_TRAINING__SEED": "5", "EMOTIONS_DATA__REFERENCE": "sample"},
    )
    training = resolved.settings.training
    assert (training.epochs, training.seed, training.batch_size, training.patience) == (6, 5, 4, 0)
    assert resolved.settings.data.reference == "sample"
    assert [resolved.origin("training", key) for key in ("epochs", "seed", "batch_size", "patience")] == [
        "command line",
        "EMOTIONS_TRAINING__SEED",
        "some.toml",
        "default",
    ]


def test_settings_toml_of_the_working_directory_is_read_when_there() -> None:
    Path("settings.toml").write_text("[training]\nepochs = 9\n", encoding="utf-8")
    resolved = resolve(environment={})
    assert resolved.settings.training.epochs == 9
    assert resolved.origin("training", "epochs") == "settings.toml"


def test_a_named_file_takes_the_place_of_settings_toml() -> None:
    Path("settings.toml").write_text("[training]\nepochs = 9\nseed = 9\n", encoding="utf-8")
    resolved = resolve_file("[training]\nepochs = 4\n")
    assert (resolved.settings.training.epochs, resolved.settings.training.seed) == (4, 17)


def test_the_environment_of_the_process_is_read_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTIONS_TRAINING__SEED", "23")
    assert resolve().settings.training.seed == 23
    assert resolve(environment={}).settings.training.seed == 17


def test_constructing_settings_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMOTIONS_TRAINING__SEED", "23")
    monkeypatch.setenv("SEED", "23")
    Path("settings.toml").write_text("[training]\nseed = 23\n", encoding="utf-8")
    assert Settings().training.seed == 17
    assert TrainingSettings().seed == 17


def test_variables_of_others_are_left_alone() -> None:
    resolved = resolve(environment={"PATH": "x", "TRAINING__EPOCHS": "5", "HOME": "y", "EPOCHS": "7"})
    assert resolved.settings == Settings()


def test_a_variable_may_name_its_key_in_lower_case() -> None:
    assert resolve(environment={"EMOTIONS_TRAINING__epochs": "5"}).settings.training.epochs == 5


def test_values_become_their_types() -> None:
    environment = {
        "EMOTIONS_DATA__LABEL_MAP": "maps/ekman.toml",
        "EMOTIONS_TRAINING__LEARNING_RATE": "3e-5",
        "EMOTIONS_INFERENCE__MIN_SCORE": "0.25",
        "EMOTIONS_INFERENCE__MODEL": "123",
        "EMOTIONS_HUB__TOKEN": SECRET,
    }
    settings = resolve(environment=environment).settings
    assert settings.data.label_map == Path("maps/ekman.toml")
    assert settings.training.learning_rate == 3e-5
    assert settings.inference.min_score == 0.25
    assert settings.inference.model == "123"
    assert settings.hub.token is not None
    assert settings.hub.token.get_secret_value() == SECRET


def test_resolved_settings_can_not_be_changed() -> None:
    settings = resolve(environment={}).settings
    with pytest.raises(ValidationError, match="frozen"):
        settings.training.epochs = 5


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[training]\nepoch = 3", ["some.toml", "unknown key 'training.epoch'", "Did you mean 'training.epochs'?"]),
        ("[data]\ntext_colum = 'x'", ["some.toml", "unknown key 'data.text_colum'", "Did you mean 'data.text_column'?"]),
        ("[inference]\nqqqqqqqqqqqqqqqq = 1", ["some.toml", "unknown key 'inference.qqqqqqqqqqqqqqqq'"]),
        ("[training.optimizer]\nname = 'x'", ["some.toml", "unknown key 'training.optimizer'"]),
        ("[trainin]\nepochs = 3", ["some.toml", "unknown section 'trainin'", "Did you mean 'training'?"]),
        ("[[training]]\nepochs = 3", ["some.toml", "'training' is a section"]),
        ("training = 3", ["some.toml", "'training' is a section"]),
        ('[training]\nepochs = "3"', ["some.toml", "training.epochs", "integer", "'3'"]),
        ("[training]\nruns_dir = 3", ["some.toml", "training.runs_dir"]),
        ("epochs = 3", ["some.toml", "key 'epochs' stands in no section", "Did you mean 'training.epochs'?"]),
        ("[training]\nepochs = 'many'", ["some.toml", "training.epochs", "integer", "'many'"]),
        ("[training]\nepochs = 2.5", ["some.toml", "training.epochs", "2.5"]),
        ("[training]\nepochs = [1]", ["some.toml", "training.epochs", "integer", "[1]"]),
        ("[training]\nepochs = 0", ["some.toml", "training.epochs", "greater than or equal to 1", "0"]),
        ("[training]\nseed = 4294967296", ["some.toml", "training.seed", "less than 4294967296"]),
        ("[training]\nschedule = 'step'", ["some.toml", "training.schedule", "'linear' or 'cosine'", "'step'"]),
        ("[training]\nlearning_rate = 0.0", ["some.toml", "training.learning_rate", "greater than 0"]),
        ("[training]\nlearning_rate = nan", ["some.toml", "training.learning_rate"]),
        ("[inference]\nmin_score = 1.5", ["some.toml", "inference.min_score", "less than or equal to 1", "1.5"]),
        ("[data]\nvalidation_fraction = 1.0", ["some.toml", "data.validation_fraction", "less than 1"]),
        ("[data]\nlabel_separator = ''", ["some.toml", "data.label_separator", "at least 1 character"]),
        ("[training\nepochs = 3", ["some.toml", "not valid TOML", "line 1"]),
        ("[training]\nepochs = 3\nepochs = 4", ["some.toml", "not valid TOML"]),
    ],
)
def test_what_does_not_fit_in_a_file_is_named(text: str, parts: list[str]) -> None:
    with pytest.raises(SettingsError) as raised:
        resolve_file(text)
    assert [part for part in parts if part not in raised.value.message] == []
    assert raised.value.hint
    assert raised.value.exit_code == EXIT_ERROR


def test_a_key_that_is_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(SettingsError) as raised:
        resolve_file("[data]\nzzzzzzzzzzzzzzzzzzzzzzzzzz = 1")
    assert "Did you mean" not in raised.value.message


def test_an_infinite_number_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"training\.learning_rate"):
        resolve_file("[training]\nlearning_rate = inf")


def test_true_is_no_count() -> None:
    with pytest.raises(SettingsError, match=r"training\.epochs"):
        resolve_file("[training]\nepochs = true")


@pytest.mark.parametrize(
    ("environment", "parts"),
    [
        ({"EMOTIONS_TRAINING__EPOCHS": "many"}, ["EMOTIONS_TRAINING__EPOCHS", "integer", "'many'"]),
        ({"EMOTIONS_TRAINING__EPOCHS": "0"}, ["EMOTIONS_TRAINING__EPOCHS", "greater than or equal to 1", "'0'"]),
        ({"EMOTIONS_TRAINING__DEVICE": "tpu"}, ["EMOTIONS_TRAINING__DEVICE", "'cpu'", "'tpu'"]),
        ({"EMOTIONS_TRAINING__EPOCHS__X": "1"}, ["EMOTIONS_TRAINING__EPOCHS", "integer"]),
        ({"EMOTIONS_TRAINING__EPOCH": "5"}, ["environment", "training.epoch", "Did you mean 'training.epochs'?"]),
        ({"EMOTIONS_TRAIN__EPOCHS": "5"}, ["EMOTIONS_TRAIN__EPOCHS", "Did you mean 'EMOTIONS_TRAINING__EPOCHS'?"]),
        ({"EMOTIONS_TRAINING_EPOCHS": "5"}, ["EMOTIONS_TRAINING_EPOCHS", "Did you mean 'EMOTIONS_TRAINING__EPOCHS'?"]),
        ({"EMOTIONS_TRAINING": '{"epochs": 5}'}, ["EMOTIONS_TRAINING"]),
    ],
)
def test_what_does_not_fit_in_the_environment_is_named(environment: dict[str, str], parts: list[str]) -> None:
    with pytest.raises(SettingsError) as raised:
        resolve(environment=environment)
    assert [part for part in parts if part not in raised.value.message] == []
    assert raised.value.hint


@pytest.mark.parametrize("name", ["EMOTIONS_SERVICE_HOST", "EMOTIONS_PORT_8000_TCP_ADDR", "EMOTIONS", "MY_EMOTIONS_HUB__TOKEN"])
def test_variables_that_a_cluster_sets_are_left_alone(name: str) -> None:
    assert resolve(environment={name: "10.0.0.1"}).settings == Settings()


def test_an_empty_variable_is_unset() -> None:
    resolved = resolve(environment={"EMOTIONS_TRAINING__EPOCHS": "", "EMOTIONS_INFERENCE__MODEL": ""})
    assert resolved.settings == Settings()
    assert resolved.origin("training", "epochs") == "default"


@pytest.mark.parametrize(
    ("command_line", "parts"),
    [
        ({"training": {"epochs": "many"}}, ["command line", "training.epochs", "integer", "'many'"]),
        ({"training": {"epochs": -1}}, ["command line", "training.epochs", "greater than or equal to 1", "-1"]),
        ({"training": {"epoch": 3}}, ["command line", "unknown key 'training.epoch'", "Did you mean 'training.epochs'?"]),
        ({"trainin": {"epochs": 3}}, ["command line", "unknown section 'trainin'", "Did you mean 'training'?"]),
    ],
)
def test_what_does_not_fit_on_the_command_line_is_named(command_line: Layer, parts: list[str]) -> None:
    with pytest.raises(SettingsError) as raised:
        resolve(command_line, environment={})
    assert [part for part in parts if part not in raised.value.message.replace("The command", "the command")] == []
    assert raised.value.hint


def test_a_value_is_checked_even_when_a_stronger_source_replaces_it() -> None:
    with pytest.raises(SettingsError, match=r"some\.toml: training\.epochs"):
        resolve_file("[training]\nepochs = 'many'\n", command_line={"training": {"epochs": 3}})


def test_a_named_file_must_exist() -> None:
    with pytest.raises(SettingsError, match=r"'nowhere\.toml' is not there") as raised:
        resolve(file=Path("nowhere.toml"), environment={})
    assert "emotions config init" in raised.value.hint


def test_a_folder_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read"):
        resolve(file=tmp_path, environment={})


def test_a_file_that_is_no_text_is_an_error() -> None:
    Path("some.toml").write_bytes(b"\xff\xfe[training]")
    with pytest.raises(SettingsError, match=r"some\.toml is not valid TOML"):
        resolve(file=Path("some.toml"), environment={})


def test_secrets_are_masked_in_rows_dumps_and_texts() -> None:
    resolved = resolve(environment={"EMOTIONS_HUB__TOKEN": SECRET})
    rows = list(resolved.rows())
    assert ("hub", "token", "**********", "EMOTIONS_HUB__TOKEN") in rows
    shown = [rows, masked(resolved.settings), repr(resolved), str(resolved.settings), resolved.settings.model_dump_json()]
    assert [text for text in map(str, shown) if SECRET in text] == []


BAD_SECRETS = [
    f'[hub]\ntoken = ["{SECRET}"]',
    f'[hub.token]\nvalue = "{SECRET}"',
    f'[hub]\ntokn = "{SECRET}"',
    f'[hub]\ntoken = "{SECRET}',
    f'hub = "{SECRET}"',
    f'[hub]\ntoken = "{SECRET}"\n[training]\nepochs = 0',
]


@pytest.mark.parametrize("text", BAD_SECRETS)
def test_an_error_does_not_show_secrets(text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        resolve_file(text)
    assert SECRET not in raised.value.message + raised.value.hint


@pytest.mark.parametrize("text", BAD_SECRETS)
def test_the_traceback_of_an_error_does_not_show_secrets(text: str) -> None:
    with pytest.raises(SettingsError) as raised:
        resolve_file(text)
    chain = "".join(traceback.format_exception(raised.value))
    # tracebacks quote this test's source, never the value
    assert SECRET not in chain


@pytest.mark.parametrize("name", ["EMOTIONS_HUB__TOKENS", "EMOTIONS_HUB__TOKEN__X", "EMOTIONS_HUBS__TOKEN", "EMOTIONS_HUB"])
def test_an_error_about_a_variable_does_not_show_secrets(name: str) -> None:
    with pytest.raises(SettingsError) as raised:
        resolve(environment={name: SECRET})
    assert SECRET not in raised.value.message + raised.value.hint + "".join(traceback.format_exception(raised.value))


def test_rows_list_every_key_once_in_order_with_plain_values() -> None:
    rows = list(resolve({"data": {"label_map": "map.toml"}}, environment={}).rows())
    keys = [(section, key) for section, key, *_ in rows]
    assert keys == [(section, key) for section, values in Settings() for key in type(values).model_fields]
    assert ("data", "label_map", "map.toml", "command line") in rows
    assert {type(value) for *_, value, _ in rows} <= {str, int, float, bool, list, type(None)}
