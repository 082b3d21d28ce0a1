"""The parts of a run that come from settings: device and precision, model, optimiser, schedule."""

from __future__ import annotations

import math
import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from emotions_cli.encoding import Encoder
from emotions_cli.errors import ModelError, ProcessLost, TrainingError
from emotions_cli.labels import LabelSet, Task
from emotions_cli.models.bundle import COMPACT_FILE
from emotions_cli.models.compact import read_parameters
from emotions_cli.settings import TrainingSettings
from emotions_cli.training.base_models import BaseModel
from emotions_cli.training.pooling import MEAN, POOLING, mean_pooled_class

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

OWN = "own"
HEAD = ("weight", "bias")


def build_accelerator(device: str, precision: str, processes: int = 1) -> Accelerator:
    """Set up device and precision, and meet the other processes of the run.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        precision: ``auto`` takes bf16 where the device computes it natively, else fp32.
        processes: How many train together.

    Raises:
        TrainingError: The machine has no such device, or the device no such precision.
        ProcessLost: The other processes did not come.
    """
    import torch
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState
    from accelerate.utils import InitProcessGroupKwargs

    chosen, mixed = choose_arithmetic(device, precision, processes)
    # Accelerate keeps its state for the whole process: a second run may want another device or precision
    AcceleratorState._reset_state(reset_partial_state=True)
    # the others wait while the first one writes the bundle
    waiting = InitProcessGroupKwargs(timeout=timedelta(hours=1))
    try:
        accelerator = Accelerator(cpu=chosen == "cpu", mixed_precision=mixed, kwargs_handlers=[waiting])
    except torch.distributed.DistError as error:
        raise ProcessLost(
            f"The other processes of the run can't be reached: {str(error).splitlines()[0]}", "Look at what the others say."
        ) from error
    if accelerator.num_processes != processes:
        raise TrainingError(
            f"{processes} processes were to train together, and this one found {accelerator.num_processes}.",
            "Start them with --processes, torchrun or accelerate launch.",
        )
    return accelerator


def choose_arithmetic(device: str, precision: str, processes: int = 1) -> tuple[str, str]:
    """Return the device to train on, and the mixed precision as Accelerate names it; see :func:`build_accelerator`.

    Raises:
        TrainingError: The machine has no such device, or the device no such precision.
    """
    import torch

    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device != "auto" and not available[device]:
        raise TrainingError(f"This machine has no {device} device.", "Leave --device out, or give --device cpu.")
    if processes > 1:
        # PyTorch has no line between processes on MPS
        available["mps"] = False
    chosen = device if device != "auto" else next(name for name in ("cuda", "mps", "cpu") if available[name])
    if precision == "fp16" and chosen != "cuda":
        raise TrainingError(f"fp16 needs a CUDA device, this run is on {chosen}.", "Use --precision auto.")
    return chosen, {"auto": "bf16" if _has_bf16(chosen) else "no", "fp32": "no"}.get(precision, precision)


def arithmetic_of(settings: TrainingSettings, processes: int) -> dict[str, Any]:
    """Describe what computes a run: with other devices, precision, processes or threads sums are rounded otherwise.

    Raises:
        TrainingError: See :func:`choose_arithmetic`.
    """
    import torch

    device, mixed = choose_arithmetic(settings.device, settings.precision, processes)
    precision = "fp32" if mixed == "no" else mixed
    return {"device": device, "precision": precision, "processes": processes, "threads": torch.get_num_threads()}


def _has_bf16(device: str) -> bool:
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "cpu":
        return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return False


def build_model(base: BaseModel, labels: LabelSet, task: Task, max_length: int, pooling: str = "auto") -> tuple[Any, Any]:
    """Load a base model and its tokenizer; the classification head is fresh, unless it was trained for the same labels.

    Args:
        base: Where it is.
        labels: What the head answers.
        task: Single-label or multi-label.
        max_length: Longest input in tokens.
        pooling: ``own`` (the head that its family has in ``transformers``, on the first token for most), ``mean`` of all tokens,
            or ``auto``: as the base model was trained by this tool, else its own.

    Returns:
        A sequence classifier in fp32, and its tokenizer.

    Raises:
        ModelError: The folder can't be loaded, has no fast tokenizer, or reads fewer tokens than ``max_length``.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoConfig, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        original = AutoConfig.from_pretrained(base.folder)
        before, pooled_before = list((original.id2label or {}).values()), getattr(original, POOLING, OWN)
        pooled = pooled_before if pooling == "auto" else pooling
        config = AutoConfig.from_pretrained(
            base.folder,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id=labels.ids(),
            problem_type="single_label_classification" if task is Task.SINGLE_LABEL else "multi_label_classification",
        )
        tokenizer = AutoTokenizer.from_pretrained(base.folder)
        model = _load(base, config, pooled_before)
        if pooled != pooled_before:
            model = _with_other_head(model, config, pooled)
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(
            f"Base model '{base.name}' can't be loaded: {reason}", "Choose an encoder such as MiniLM or BERT."
        ) from error
    if not tokenizer.is_fast or tokenizer.pad_token_id is None:
        raise ModelError(f"Base model '{base.name}' has no fast tokenizer with padding.", "Choose an encoder such as MiniLM.")
    # RoBERTa's positions start behind the padding id
    reads = getattr(config, "max_position_embeddings", max_length) - (
        tokenizer.pad_token_id + 1 if "roberta" in config.model_type else 0
    )
    if max_length > reads:
        raise ModelError(
            f"Base model '{base.name}' reads at most {reads} tokens, not {max_length}.", f"Set --max-length {reads}."
        )
    model.config.pad_token_id = tokenizer.pad_token_id
    tokenizer.model_max_length = max_length
    if before != list(labels) or pooled != pooled_before:
        # a head of the same size but for other labels would be kept
        head = classification_head(model)
        torch.nn.init.normal_(head.weight, std=getattr(config, "initializer_range", 0.02))
        if head.bias is not None:
            torch.nn.init.zeros_(head.bias)
    return model, tokenizer


def _load(base: BaseModel, config: Any, pooling: str) -> Any:
    """Load a model in fp32, or from a small bundle's integers; a head of another size stays fresh."""
    import torch

    weights = base.folder / COMPACT_FILE
    if not weights.is_file():
        return _kind(config, pooling).from_pretrained(
            base.folder, config=config, dtype=torch.float32, ignore_mismatched_sizes=True, use_safetensors=True
        )
    model = _fresh(config, pooling)
    head = {f"{name}.{part}" for name, module in model.named_modules() if module is classification_head(model) for part in HEAD}
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    found = {name: torch.from_numpy(array) for name, array in read_parameters(weights).items()}
    fitting = {name: values for name, values in found.items() if shapes.get(name) == tuple(values.shape)}
    if missing := shapes.keys() - fitting.keys() - head:
        raise ValueError(f"{COMPACT_FILE} has no {min(missing)} of this model's size")
    model.load_state_dict(fitting, strict=False)
    return model


def _with_other_head(loaded: Any, config: Any, pooling: str) -> Any:
    """Put a fresh head on the encoder of a model."""
    model = _fresh(config, pooling)
    missing = model.base_model.load_state_dict(loaded.base_model.state_dict(), strict=False).missing_keys
    # only one kind of head needs a pooler
    if unknown := [name for name in missing if not name.startswith("pooler.")]:
        raise ValueError(f"its encoder has no {unknown[0]}")
    return model


def _fresh(config: Any, pooling: str) -> Any:
    import torch

    kind = _kind(config, pooling)
    return kind(config) if pooling == MEAN else kind.from_config(config, dtype=torch.float32)


def _kind(config: Any, pooling: str) -> Any:
    from transformers import AutoModelForSequenceClassification

    if pooling != MEAN:
        return AutoModelForSequenceClassification
    setattr(config, POOLING, MEAN)
    family: Any = type(config)
    return mean_pooled_class(family)


def classification_head(model: Any) -> Any:
    """Return the linear layer that gives the logits: the last one with an output a label."""
    import torch

    return [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m.out_features == model.config.num_labels][-1]


def start_from_priors(model: Any, targets: NDArray[np.bool_]) -> None:
    """Set the head's bias so that a multi-label model begins with each label at its frequency, not at one half.

    Without it the first hundreds of steps only teach that labels are rare: Lin et al., "Focal Loss for Dense Object
    Detection", ICCV 2017, section 3.3.

    Args:
        model: A sequence classifier with a fresh head.
        targets: What is true in the training texts (texts, labels).
    """
    import torch

    share = np.clip(targets.mean(axis=0), 1e-4, 1 - 1e-4)
    head = classification_head(model)
    if head.bias is not None:
        with torch.no_grad():
            head.bias.copy_(torch.from_numpy(np.log(share / (1 - share))))


def build_encoder(tokenizer: Any, max_length: int) -> Encoder:
    """Make an encoder of its own from a ``transformers`` tokenizer."""
    return Encoder(Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()), pad_id=tokenizer.pad_token_id, max_length=max_length)


def build_optimizer(model: torch.nn.Module, settings: TrainingSettings, device: torch.device) -> torch.optim.Optimizer:
    """Build AdamW (Loshchilov and Hutter 2019); vectors (biases and norms) don't decay, fused where PyTorch has it."""
    import torch

    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=device.type in {"cpu", "cuda"})


def build_schedule(optimizer: torch.optim.Optimizer, settings: TrainingSettings, steps: int) -> torch.optim.lr_scheduler.LambdaLR:
    """Build a schedule that rises linearly over the warm-up and falls to 0 behind the last step, linearly or as a cosine."""
    from torch.optim.lr_scheduler import LambdaLR

    warmup = math.ceil(settings.warmup_fraction * steps)

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / (warmup + 1)
        done = min((step - warmup) / max(steps - warmup, 1), 1.0)
        return 1.0 - done if settings.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done))

    return LambdaLR(optimizer, factor)


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and PyTorch."""
    from accelerate.utils import set_seed

    set_seed(seed)


def save_weights(model: Any, path: Path) -> None:
    """Write a model's weights as safetensors.

    Raises:
        OSError: The disk refuses.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_model

    try:
        save_model(model, str(path))
    except SafetensorError as error:
        # the Rust side gives the system's error number only in its message
        number = re.search(r"os error (\d+)", str(error))
        raise (OSError(int(number[1]), os.strerror(int(number[1]))) if number else OSError(str(error))) from error


def load_weights(model: Any, path: Path) -> None:
    """Read weights that :func:`save_weights` wrote back into the model."""
    from safetensors.torch import load_model

    load_model(model, str(path))
