"""What was answered is counted window by window, and goes on where a stopped run was."""

from __future__ import annotations

import json

from emotions_cli.answering.tally import Tally
from emotions_cli.answering.windows import AnsweredWindow
from emotions_cli.inference import Prediction
from emotions_cli.streams.rows import Record


def window(*answers: tuple[str, tuple[str, ...], str | None]) -> AnsweredWindow:
    records = [Record(i, {"text": text}, text) for i, (text, _, _) in enumerate(answers, start=1)]
    predictions = [Prediction(text, labels, 0.5, {}, 0) for text, labels, _ in answers]
    return AnsweredWindow(records, predictions, [reason for _, _, reason in answers])


FIRST = window(("a", ("joy",), None), ("b", ("joy", "fear"), "cut"), ("", (), "empty"), ("c", (), None))
SECOND = window(("d", ("uncertain",), "undecodable"), ("", (), "missing"), ("", (), "unreadable"), ("e", ("fear",), "cut"))


def test_answers_and_reasons_are_counted() -> None:
    tally = Tally()
    tally.add(FIRST)
    tally.add(SECOND)
    assert (tally.rows, tally.windows) == (8, 2)
    assert tally.answered == 5
    assert tally.emotions == {"joy": 2, "fear": 2, "(none)": 1, "uncertain": 1}
    assert tally.reasons == {"cut": 2, "empty": 1, "missing": 1, "undecodable": 1, "unreadable": 1}
    assert (tally.cut, tally.empty) == (2, 2)


def test_it_goes_through_json_and_on() -> None:
    whole, first = Tally(), Tally()
    whole.add(FIRST)
    whole.add(SECOND)
    first.add(FIRST)
    resumed = Tally.from_json(json.loads(json.dumps(first.to_json())))
    assert resumed == first
    resumed.add(SECOND)
    assert resumed == whole


def test_nothing_is_an_empty_tally() -> None:
    assert Tally.from_json({}) == Tally()
    assert (Tally().rows, Tally().cut, Tally().empty) == (0, 0, 0)
