"""From a command's options to settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotions_cli.errors import UsageError

if TYPE_CHECKING:
    from emotions_cli.data import DataRequest
    from emotions_cli.inference import Classifier
    from emotions_cli.settings import ResolvedSettings, Settings
    from emotions_cli.settings.model import InferenceSettings


def resolve_settings(
    file: Path | None, assignments: list[str] | None, record: Path | None = None, **sections: dict[str, Any]
) -> ResolvedSettings:
    """Resolve settings from options by section, ``--set`` assignments, environment and file, then the record of a run.

    Raises:
        UsageError: An assignment is not of the form ``section.key=value``.
        SettingsError: See :func:`emotions_cli.settings.resolve`.
    """
    from emotions_cli.settings import resolve

    layer: dict[str, dict[str, Any]] = {}
    for assignment in assignments or []:
        path, equals, value = assignment.partition("=")
        section, dot, key = path.partition(".")
        if not (equals and dot and section and key):
            raise UsageError(f"--set '{assignment}' is not of the form section.key=value.", "For example: --set training.seed=3")
        layer.setdefault(section, {})[key] = value
    for section, values in sections.items():
        layer.setdefault(section, {}).update({key: value for key, value in values.items() if value is not None})
    return resolve(layer, file=file, record=record)


def split_labels(labels: str | None) -> list[str] | None:
    """Take ``--labels A,B`` apart."""
    return None if labels is None else [name.strip() for name in labels.split(",") if name.strip()]


def open_classifier(inference: InferenceSettings, *, labels: list[str] | None = None) -> Classifier:
    """Open the model that the settings name.

    Args:
        inference: The settings.
        labels: The only labels it may answer.

    Raises:
        ModelError: See :meth:`emotions_cli.inference.Classifier.open`.
    """
    from emotions_cli.inference import Classifier

    return Classifier.open(
        inference.model,
        precision=inference.precision,
        batch_tokens=inference.batch_tokens,
        long_text=inference.long_text,
        threads=inference.threads,
        labels=labels,
    )


def data_request(settings: Settings) -> DataRequest:
    """Turn the data section into a request to load."""
    from emotions_cli.data import DataRequest
    from emotions_cli.data.files import FileOptions
    from emotions_cli.streams.formats import Format

    data = settings.data
    return DataRequest(
        data.reference,
        validation=data.validation,
        test=data.test,
        files=FileOptions(
            None if data.input_format is None else Format(data.input_format),
            data.text_column,
            data.label_column,
            data.label_separator,
        ),
        label_map=data.label_map,
        token=None if settings.hub.token is None else settings.hub.token.get_secret_value(),
        cache=cache_folder(settings),
    )


def cache_folder(settings: Settings) -> Path:
    """Return the folder for copies that can be made again."""
    import platformdirs

    return settings.cache.folder or platformdirs.user_cache_path("emotions-cli", appauthor=False)
