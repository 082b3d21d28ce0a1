"""Dropout by bytes drops as many values as it says, independently, and only while the model trains."""

from __future__ import annotations

import pytest
import torch

from emotions_cli.training.dropout import use_byte_dropout


def _layer(p: float) -> torch.nn.Module:
    model = torch.nn.Sequential(torch.nn.Dropout(p))
    use_byte_dropout(model)
    assert type(model[0]) is not torch.nn.Dropout
    return model


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_and_the_mean_are_right(p: float) -> None:
    torch.manual_seed(0)
    values = _layer(p)(torch.ones(1000, 1003))
    share = float((values == 0).float().mean())
    assert share == pytest.approx(round(256 * p) / 256, abs=2e-3)
    assert float(values.mean()) == pytest.approx(1.0, abs=1e-2)
    # as often in each place of a 64-bit word, and whatever the neighbour does
    dropped = (values == 0).flatten()[: 8 * 100_000].view(-1, 8).float()
    assert dropped.mean(dim=0).tolist() == pytest.approx([share] * 8, abs=6e-3)
    assert float((dropped[:, 0] * dropped[:, 1]).mean()) == pytest.approx(share**2, abs=6e-3)


def test_the_seed_decides_and_each_call_draws_anew() -> None:
    layer, values = _layer(0.3), torch.ones(57)
    torch.manual_seed(1)
    first, second = layer(values), layer(values)
    torch.manual_seed(1)
    assert torch.equal(layer(values), first)
    assert not torch.equal(first, second)


def test_gradients_pass_where_values_do() -> None:
    values = torch.ones(4, 5, requires_grad=True)
    answer = _layer(0.5)(values)
    answer.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, answer.detach())


def test_nothing_is_dropped_when_the_model_answers() -> None:
    layer, values = _layer(0.5).eval(), torch.ones(4, 5)
    assert layer(values) is values


def test_half_precision_stays_half() -> None:
    assert _layer(0.1)(torch.ones(9, dtype=torch.bfloat16)).dtype == torch.bfloat16


@pytest.mark.parametrize("p", [0.0, 0.001, 0.999, 1.0])
def test_rates_that_can_not_be_rounded_keep_their_layer(p: float) -> None:
    model = torch.nn.Sequential(torch.nn.Dropout(p))
    use_byte_dropout(model)
    assert type(model[0]) is torch.nn.Dropout
