"""``emotions models``: what a model is, and what it can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from emotions_cli.cli._options import JsonOpt
from emotions_cli.cli._output import plain_table, print_json, stdout_console

if TYPE_CHECKING:
    from emotions_cli.models.bundle import Bundle

app = typer.Typer(no_args_is_help=True, help="Look at models.")


@app.callback()
def models_group() -> None:
    """Look at models."""


@app.command("show")
def show_command(
    model: Annotated[str, typer.Argument(metavar="REF", help="builtin, a run's folder or a bundle's.")] = "builtin",
    as_json: JsonOpt = False,
) -> None:
    """Show what a model answers, how large it is, what it learned from, and its card."""
    from emotions_cli.models.bundle import CARD_FILE
    from emotions_cli.models.ref import open_model

    bundle = open_model(model)
    if as_json:
        print_json({"reference": model, "bytes": _size(bundle), **bundle.manifest.to_json()})
        return
    _print_facts(bundle, model)
    if CARD_FILE in bundle.manifest.files:
        _print_card(bundle.checked(CARD_FILE).read_text(encoding="utf-8"))


def _print_facts(bundle: Bundle, reference: str) -> None:
    from rich.markup import escape

    manifest = bundle.manifest
    table = plain_table("model", escape(reference))
    table.add_row("labels", escape(", ".join(manifest.labels)))
    table.add_row("task", str(manifest.task))
    table.add_row("longest text", f"{manifest.max_length} tokens")
    table.add_row("size", f"{_size(bundle) / 1e6:,.1f} MB in {len(manifest.files) + 1} files")
    if manifest.fast is not None:
        table.add_row("8-bit integers", f"{manifest.fast.same_label:.2%} of {manifest.fast.texts:,} held-out texts as in fp32")
    if name := manifest.base_model.get("name"):
        table.add_row("base model", escape(str(name)))
    if reference_of_data := manifest.data.get("reference"):
        table.add_row("trained on", escape(str(reference_of_data)))
    if splits := manifest.data.get("splits"):
        table.add_row("texts", escape(", ".join(f"{name} {count:,}" for name, count in splits.items())))
    validation = manifest.metrics.get("validation") or {}
    for name in ("accuracy", "macro_f1", "ece"):
        if validation.get(name) is not None:
            table.add_row(f"validation {name}", f"{validation[name]:.4f}")
    if manifest.created:
        table.add_row("made", escape(manifest.created))
    stdout_console().print(table)


def _print_card(card: str) -> None:
    console = stdout_console()
    if not console.is_terminal:
        print(card, end="")
        return
    from rich.markdown import Markdown

    console.print(Markdown(card))


def _size(bundle: Bundle) -> int:
    return sum(file.stat().st_size for file in bundle.path.iterdir())
