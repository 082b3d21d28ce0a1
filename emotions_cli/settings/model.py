"""The settings themselves: every key, its type, bounds, unit and default.

A field's description is what ``settings.example.toml`` and ``emotions config init`` print above the key.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


def _listed(value: Any) -> Any:
    # from the command line
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.startswith("[") else [part.strip() for part in value.split(",") if part.strip()]


Names = Annotated[list[str], BeforeValidator(_listed)]


class Section(BaseModel):
    """A table of the settings file. Unknown keys are errors; values can't be changed once resolved."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        # Python takes true for 1
        if isinstance(value, bool) and cls.model_fields[info.field_name or ""].annotation is not bool:
            raise ValueError("Input should not be true or false")
        return value


class DataSettings(Section):
    """What to read, and which columns."""

    reference: str = Field(
        "hf:dair-ai/emotion",
        description="data to train on: 'sample', a file, a glob, a folder of splits, hf:NAME[:CONFIG][@REVISION]",
    )
    validation: str | None = Field(None, description="file for the validation split, when the reference is one file")
    test: str | None = Field(None, description="file for the test split, when the reference is one file")
    input_format: Literal["csv", "tsv", "jsonl", "parquet"] | None = Field(
        None, description="format of the data files; by default their extension says it"
    )
    text_column: str | None = Field(None, description="column with the texts; by default guessed when unambiguous")
    label_column: str | None = Field(None, description="column with the label(s); by default guessed when unambiguous")
    label_separator: str | None = Field(
        None, min_length=1, description="splits a cell into several labels, e.g. '|'; makes the data multi-label"
    )
    label_map: Path | None = Field(None, description="TOML file that renames, merges or drops labels")
    validation_fraction: float = Field(
        0.1, gt=0.0, lt=1.0, description="share of the training rows held out when there is no validation split (0 to 1)"
    )


class TrainingSettings(Section):
    """How a model is fine-tuned."""

    base_model: str = Field(
        "sentence-transformers/all-MiniLM-L6-v2", description="encoder to start from: a Hub name, a directory or builtin"
    )
    runs_dir: Path = Field(Path("runs"), description="folder in which runs are made when no --output is given")
    epochs: int = Field(3, ge=1, description="passes over the training data")
    batch_size: int = Field(32, ge=1, description="texts a forward pass")
    accumulation_steps: int = Field(1, ge=1, description="forward passes whose gradients make one optimiser step")
    learning_rate: float = Field(1e-4, gt=0.0, description="peak learning rate of AdamW")
    weight_decay: float = Field(0.01, ge=0.0, description="decoupled weight decay; biases and norms have none")
    warmup_fraction: Fraction = Field(0.06, description="share of all steps in which the rate rises to its peak (0 to 1)")
    schedule: Literal["linear", "cosine"] = Field("linear", description="how the rate falls to 0 after warm-up: linear, cosine")
    max_grad_norm: float = Field(1.0, gt=0.0, description="gradients with a larger L2 norm are scaled down to it")
    label_smoothing: float = Field(0.0, ge=0.0, lt=1.0, description="probability mass spread over all labels (0 to 1)")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="'balanced' weighs a label by the inverse of its frequency: none, balanced"
    )
    max_length: int = Field(128, ge=8, description="longest text the model reads, in tokens; the rest is cut")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="arithmetic of the forward pass: auto (bf16 where the device has it), fp32, bf16, fp16 (CUDA)"
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where to train: auto, cpu, cuda, mps")
    eval_steps: int = Field(0, ge=0, description="optimiser steps between evaluations; 0: at the end of every epoch")
    metric: Literal["macro_f1", "accuracy", "weighted_f1", "micro_f1", "nll"] = Field(
        "macro_f1", description="validation metric that chooses the best weights: macro_f1, accuracy, weighted_f1, micro_f1, nll"
    )
    patience: int = Field(0, ge=0, description="evaluations without a better metric before stopping early; 0: never")
    pooling: Literal["auto", "own", "mean"] = Field(
        "auto",
        description="what the head reads: own (as the model's family does, mostly the first token), mean (of all tokens), "
        "auto (mean if the base model was trained so by this tool)",
    )
    emoji: bool = Field(True, description="make tokens of the emoji that the base model does not know")
    typing_errors: Fraction = Field(
        0.0, description="share of the training texts that get typing errors, other ones in every epoch (0 to 1)"
    )
    other_endings: Fraction = Field(
        0.0, description="share of the training texts that end with another mark (none, . ! !! ...) in every epoch (0 to 1)"
    )
    teachers: Names = Field(
        [], description="trained models (run folders, bundles) whose answers to the training texts are mixed into their labels"
    )
    teacher_weight: Fraction = Field(0.5, description="the teachers' share of what is learnt, beside the labels' (0 to 1)")
    fast_file: bool = Field(
        True, description="make a second inference file of 8-bit integers, about twice as fast on CPUs with 8-bit products"
    )
    seed: int = Field(17, ge=0, lt=2**32, description="seeds weights, order of texts and splits")


class CheckpointSettings(Section):
    """What a stopped run can go on from; every evaluation makes one too."""

    steps: int = Field(0, ge=0, description="optimiser steps between checkpoints; 0: not by steps")
    minutes: float = Field(10.0, ge=0.0, description="minutes between checkpoints; 0: not by time")


class CacheSettings(Section):
    """Where copies are kept that save time or memory; all of them can be made again."""

    folder: Path | None = Field(None, description="folder of the copies; by default the system's folder for caches")


class WandbSettings(Section):
    """Tracking in Weights & Biases; nothing is sent unless the mode says so."""

    mode: Literal["disabled", "online", "offline"] = Field(
        "disabled", description="where runs are tracked: disabled, online, offline (files that 'wandb sync' uploads later)"
    )
    project: str = Field("emotions", min_length=1, description="project of the runs")
    entity: str | None = Field(None, description="user or team; by default that of the account")
    name: str | None = Field(None, description="what the run is called; by default W&B makes up a name")
    group: str | None = Field(None, description="group of runs that belong together")
    tags: Names = Field([], description="words to find the run by")


class InferenceSettings(Section):
    """How a model is run."""

    model: str = Field("builtin", description="model to predict and evaluate with: builtin, a run folder or a bundle")
    precision: Literal["auto", "fp32", "fast"] = Field(
        "auto", description="arithmetic: auto (fast where model and CPU can), fp32, fast (8-bit integers, close calls in fp32)"
    )
    batch_tokens: int = Field(512, ge=1, description="most tokens a forward pass, padding included")
    long_text: Literal["head", "window"] = Field(
        "head", description="texts longer than the model reads: head (the end is cut), window (mean over pieces)"
    )
    threads: int = Field(0, ge=0, description="batches computed at a time, a thread each; 0: as many as there are CPUs")
    min_score: Fraction = Field(0.0, description="answers with a lower score become 'uncertain' (0 to 1)")


class EvaluationSettings(Section):
    """How a model is judged."""

    split: str | None = Field(None, description="split to judge on; by default test, else validation, else all rows")
    ece_bins: int = Field(15, ge=1, description="bins of equal width for the expected calibration error")


class HubSettings(Section):
    """How the Hugging Face Hub is spoken to."""

    token: SecretStr | None = Field(None, description="access token for private repositories; better set as EMOTIONS_HUB__TOKEN")
    base_model_revision: str | None = Field(None, description="commit, tag or branch of a base model that comes from the Hub")


class Settings(BaseSettings):
    """All sections. Build it with :func:`emotions_cli.settings.resolve`, which knows the order of the sources."""

    model_config = SettingsConfigDict(
        env_prefix="EMOTIONS_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    data: DataSettings = Field(default_factory=DataSettings)
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    checkpoints: CheckpointSettings = Field(default_factory=CheckpointSettings)
    cache: CacheSettings = Field(default_factory=CacheSettings)
    wandb: WandbSettings = Field(default_factory=WandbSettings)
    inference: InferenceSettings = Field(default_factory=InferenceSettings)
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)
    hub: HubSettings = Field(default_factory=HubSettings)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what is passed in: :func:`emotions_cli.settings.resolve` reads and merges the sources."""
        return (init_settings,)
