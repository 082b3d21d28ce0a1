"""The median rule: Optuna's where trials are judged at the same places, and sound where they are not."""

from __future__ import annotations

import random

import optuna
import pytest

from emotions_cli.sweep.pruning import STARTUP_TRIALS, falls_behind


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_it_agrees_with_optuna_where_all_are_judged_at_the_same_shares(direction: str) -> None:
    optuna.logging.disable_default_handler()
    generator = random.Random(5)
    pruner = optuna.pruners.MedianPruner()
    answers = set()
    for complete in range(3, 12):
        study = optuna.create_study(direction=direction, pruner=pruner)
        others = [{share: generator.random() for share in (250, 500, 750, 1000)} for _ in range(complete)]
        for other in others:
            study.add_trial(optuna.trial.create_trial(value=other[1000], intermediate_values=other))
        trial, reports = study.ask(), {}
        for share in (250, 500, 750):
            reports[share] = generator.random()
            trial.report(reports[share], share)
            answer = falls_behind(reports, others, lower_is_better=direction == "minimize")
            assert answer == trial.should_prune()
            answers.add(answer)
    assert answers == {True, False}


def test_a_trial_that_was_judged_elsewhere_counts_with_its_last_evaluation_before() -> None:
    others = [{330: 0.4, 670: 0.8, 1000: 0.9}] * STARTUP_TRIALS
    # at half of its run it stands against what the others had after a third
    assert falls_behind({500: 0.3}, others, lower_is_better=False)
    assert not falls_behind({500: 0.5}, others, lower_is_better=False)
    assert falls_behind({500: 0.5, 700: 0.6}, others, lower_is_better=False)
    # nobody was judged so early
    assert not falls_behind({100: 0.0}, others, lower_is_better=False)


def test_it_waits_for_others_and_gives_up_nothing_at_its_end() -> None:
    others = [{500: 0.9, 1000: 0.9}] * (STARTUP_TRIALS - 1)
    assert not falls_behind({500: 0.1}, others, lower_is_better=False)
    others = [*others, {500: 0.9, 1000: 0.9}]
    assert falls_behind({500: 0.1}, others, lower_is_better=False)
    assert not falls_behind({500: 0.1, 1000: 0.1}, others, lower_is_better=False)
    assert not falls_behind({}, others, lower_is_better=False)
