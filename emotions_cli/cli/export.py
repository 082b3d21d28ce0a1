"""``emotions export``: make and check the inference files of a model."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from emotions_cli.cli._options import (
    DataOpt,
    InputFormatOpt,
    LabelColumnOpt,
    LabelMapOpt,
    LabelSeparatorOpt,
    ModelOpt,
    SetOpt,
    SettingsOpt,
    TextColumnOpt,
)
from emotions_cli.cli._output import say
from emotions_cli.cli._settings import data_request, resolve_settings
from emotions_cli.errors import UsageError

if TYPE_CHECKING:
    from emotions_cli.data import Dataset
    from emotions_cli.models.bundle import Bundle, FastFile
    from emotions_cli.settings import Settings


class Target(StrEnum):
    """Inference files."""

    ONNX = "onnx"
    FAST = "fast"
    COMPACT = "compact"


def export_command(
    to: Annotated[
        Target,
        typer.Option(
            "--to",
            help="onnx: model.onnx in fp32; fast: model.fast.onnx in 8-bit integers; compact: a bundle a quarter the size.",
            show_default=False,
        ),
    ],
    model: ModelOpt = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Folder of the new bundle; by default the bundle is changed in place.",
            show_default=False,
        ),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(
            "--card", metavar="FILE", exists=True, dir_okay=False, help="Model card for a compact bundle, its README.md."
        ),
    ] = None,
    data: DataOpt = None,
    text_column: TextColumnOpt = None,
    label_column: LabelColumnOpt = None,
    label_separator: LabelSeparatorOpt = None,
    label_map: LabelMapOpt = None,
    input_format: InputFormatOpt = None,
    settings: SettingsOpt = None,
    assignments: SetOpt = None,
) -> None:
    """Make and check the inference files of a bundle, or make a bundle of a classifier of the Hugging Face Hub.

    A fast file is made with texts of --data (of the bundled sample without it), and kept only if it answers others of them as
    the model does. A compact bundle keeps its weights once, in 8 bits, and both inference files compute from them.
    """
    from emotions_cli.data import load_dataset
    from emotions_cli.data.load import with_validation
    from emotions_cli.extras import require
    from emotions_cli.training.base_models import find_base_model
    from emotions_cli.training.export import export_bundle, export_compact, export_foreign

    require("train", "Exporting")
    options = {
        "text_column": text_column,
        "label_column": label_column,
        "label_separator": label_separator,
        "label_map": label_map,
        "input_format": input_format,
    }
    resolved = resolve_settings(settings, assignments, data={"reference": data, **options}, inference={"model": model}).settings
    reference = resolved.inference.model
    dataset: Dataset | None = None
    if data is not None:
        loaded = load_dataset(data_request(resolved))
        say(loaded.notes)
        dataset = with_validation(loaded, resolved.data.validation_fraction, resolved.training.seed)
    fast = to is Target.FAST
    bundle = _bundle(reference)
    if to is Target.COMPACT:
        if bundle is None or output is None:
            raise UsageError(
                "A compact bundle is made of another bundle, in a folder of its own.",
                "For example: --model runs/NAME --output models/NAME",
            )
        _report(output, to, export_compact(bundle, output, dataset=dataset, card=card))
        return
    if card is not None:
        raise UsageError("--card is for --to compact.", "Leave it out.")
    if bundle is not None:
        place = output or bundle.path
        _report(place, to, export_bundle(bundle, place, fast=fast, dataset=dataset))
        return
    if output is None:
        raise UsageError(f"'{reference}' is no bundle of this tool; a new one needs a place.", "Name it: --output models/NAME")
    base = find_base_model(*_hub_name(reference), token=_token(resolved))
    _report(output, to, export_foreign(base, output, fast=fast, dataset=dataset))


def _bundle(reference: str) -> Bundle | None:
    """Open a bundle of this tool; ``None`` for names of the Hub and folders of other making."""
    from emotions_cli.models.bundle import MANIFEST_FILE
    from emotions_cli.models.ref import BUILTIN, MODEL_FOLDER, open_model

    if reference.startswith("hf:"):
        return None
    if reference == BUILTIN:
        return open_model(reference)
    folder = Path(reference)
    ours = any((place / MANIFEST_FILE).exists() for place in (folder, folder / MODEL_FOLDER))
    foreign = (folder / "config.json").exists()
    return open_model(reference) if ours or not foreign else None


def _hub_name(reference: str) -> tuple[str, str | None]:
    """Split ``hf:owner/name@revision``."""
    name, _, revision = reference.removeprefix("hf:").partition("@")
    return name, revision or None


def _token(settings: Settings) -> str | None:
    return None if settings.hub.token is None else settings.hub.token.get_secret_value()


def _report(place: Path, to: Target, fast: FastFile | None) -> None:
    print(f"{to}: {place}")
    if fast is not None and to is not Target.ONNX:
        print(
            f"on {fast.texts:,} held-out texts: {fast.same_label:.2%} answered as in fp32, scores {fast.score_difference:.4f} "
            f"apart in the mean; {fast.handed_over:.1%} were close calls and handed over to fp32"
        )
