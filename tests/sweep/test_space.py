"""What can be searched, and what is refused with the next step."""

from __future__ import annotations

import pytest

from emotions_cli.errors import UsageError
from emotions_cli.settings import Settings, TrainingSettings
from emotions_cli.sweep.space import FIXED, Choices, Range, parse_space, shown, with_params


@pytest.mark.parametrize(
    ("text", "param"),
    [
        ("training.learning_rate=1e-5..2e-4:log", Range("learning_rate", 1e-5, 2e-4, None, True)),
        ("training.label_smoothing=0..0.3", Range("label_smoothing", 0.0, 0.3)),
        ("training.label_smoothing=0...3", Range("label_smoothing", 0.0, 0.3)),
        ("training.weight_decay = 0 .. 0.1 : 0.02", Range("weight_decay", 0.0, 0.1, 0.02)),
        ("training.epochs=1..5", Range("epochs", 1, 5)),
        ("training.epochs=1..5:2", Range("epochs", 1, 5, 2)),
        ("training.batch_size=8..64:log", Range("batch_size", 8, 64, None, True)),
        ("training.batch_size=16,32, 64", Choices("batch_size", (16, 32, 64))),
        ("training.learning_rate=1e-4,2e-4", Choices("learning_rate", (1e-4, 2e-4))),
        ("training.schedule=linear,cosine", Choices("schedule", ("linear", "cosine"))),
        ("training.emoji=true,false", Choices("emoji", (True, False))),
        # dots of a path are no range
        ("training.base_model=../a,../b", Choices("base_model", ("../a", "../b"))),
    ],
)
def test_a_parameter_is_read_and_written_again(text: str, param: Range | Choices) -> None:
    (found,) = parse_space([text])
    assert found == param
    assert parse_space([f"training.{found.key}={found}"]) == (param,)
    if isinstance(found, Range):
        assert type(found.low) is type(found.high) is TrainingSettings.model_fields[found.key].annotation


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("training.learning_rate", "is not of the form", "LOW..HIGH:log"),
        ("training.learning_rate=", "is not of the form", "LOW..HIGH:log"),
        ("training.learning_rat=1e-5..1e-4", "Did you mean 'training.learning_rate'?", "training.batch_size"),
        ("learning_rate=1e-5..1e-4", "Did you mean 'training.learning_rate'?", "training.batch_size"),
        ("data.reference=a,b", "is no training setting", "training.batch_size"),
        ("training.seed=1..9", "training.seed can't be searched: a seed chosen by its result is luck", "training.epochs"),
        ("training.runs_dir=a,b", "can't be searched: it says where runs lie", "training.epochs"),
        ("training.learning_rate=2e-4..1e-5", "training.learning_rate: 0.0002 is not below 1e-05", "the smaller one first"),
        ("training.learning_rate=1e-4..1e-4", "is not below", "the smaller one first"),
        ("training.learning_rate=0..1e-4:log", "training.learning_rate: '0' should be greater than 0", "peak learning rate"),
        ("training.label_smoothing=0..0.5:log", "a logarithmic scale can't begin at 0.0", "above 0"),
        ("training.label_smoothing=0..1", "training.label_smoothing: '1' should be less than 1", "probability mass"),
        ("training.batch_size=0,16", "training.batch_size: '0' should be greater than or equal to 1", "texts a forward pass"),
        ("training.batch_size=1.5..8", "training.batch_size: '1.5' should be a valid integer", "texts a forward pass"),
        ("training.learning_rate=a..b", "training.learning_rate: 'a' should be a valid number", "peak learning rate"),
        ("training.learning_rate=1e-5..inf", "should be a finite number", "peak learning rate"),
        ("training.schedule=linear,square", "training.schedule: 'square' should be 'linear' or 'cosine'", "how the rate falls"),
        ("training.batch_size=16", "has one value only", "--set training.batch_size=16"),
        ("training.batch_size=16,16", "has a value twice", "once"),
        ("training.epochs=1..5:3", "steps of 3 from 1 don't meet 5", "Write 1..4:3."),
        ("training.epochs=1..5:x", "'x' is neither log nor a step", "LOW..HIGH:STEP"),
        ("training.epochs=1..5:0", "a step of 0 does not lead from 1 to 5", "above 0"),
        ("training.weight_decay=0..0.1:nan", "a step of nan does not lead", "above 0"),
    ],
)
def test_what_does_not_fit_is_refused(text: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_space([text])
    assert said in raised.value.message
    assert hint in raised.value.hint


def test_a_setting_is_searched_once() -> None:
    with pytest.raises(UsageError, match=r"training.epochs is given twice"):
        parse_space(["training.epochs=1..3", "training.epochs=4,5"])


def test_what_is_not_searched_are_settings() -> None:
    assert set(FIXED) < set(TrainingSettings.model_fields)


def test_values_take_their_places_and_are_checked() -> None:
    settings = with_params(Settings(), {"epochs": 7, "schedule": "cosine"})
    assert (settings.training.epochs, settings.training.schedule, settings.training.batch_size) == (7, "cosine", 32)
    assert [shown(value) for value in (3.21234e-5, 16, True, "cosine")] == ["3.212e-05", "16", "true", "cosine"]
