"""Manners of Weights & Biases' client: names of things there, quiet, quick to notice that nobody answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from emotions_cli.errors import UsageError, WandbError, exception_chain
from emotions_cli.extras import require

SCHEME = "wandb:"
ANSWER_SECONDS = 15

_NAME = r"[^/\\#?%:\s]+"
_FORM = re.compile(rf"(?P<entity>{_NAME})/(?P<project>{_NAME})/(?P<name>{_NAME})(:(?P<alias>[^/:\s]+))?")
_LOGIN = "Log in: wandb login, or set WANDB_API_KEY."


@dataclass(frozen=True)
class WandbRef:
    """Where something is in W&B.

    Attributes:
        entity: A user or team.
        project: One of its projects.
        name: A run's id, or an artifact's collection.
        alias: An artifact's alias or version; ``None`` where none is given, as for runs.
    """

    entity: str
    project: str
    name: str
    alias: str | None = None

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{SCHEME}{self.path}"

    @property
    def path(self) -> str:
        """As W&B's client takes it."""
        return f"{self.entity}/{self.project}/{self.name}" + (f":{self.alias}" if self.alias else "")

    @classmethod
    def parse(cls, reference: str) -> WandbRef:
        """Read ``wandb:entity/project/name[:alias]``.

        Raises:
            UsageError: It is of another form.
        """
        match = _FORM.fullmatch(reference.removeprefix(SCHEME))
        if match is None or not is_wandb(reference):
            raise UsageError(
                f"'{reference}' is not of the form wandb:ENTITY/PROJECT/NAME.",
                "All three stand in the address of its page in W&B.",
            )
        return cls(**match.groupdict())

    @classmethod
    def parse_run(cls, reference: str) -> WandbRef:
        """Read ``wandb:entity/project/run``.

        Raises:
            UsageError: It is of another form.
        """
        found = cls.parse(reference)
        if found.alias is not None:
            raise UsageError(f"'{reference}' names an artifact: a run has no alias.", "For a run: wandb:ENTITY/PROJECT/RUN.")
        return found


def is_wandb(reference: str) -> bool:
    """Say whether a reference is meant for W&B."""
    return reference.startswith(SCHEME)


@contextmanager
def wandb_api(reference: WandbRef) -> Iterator[Any]:
    """Yield W&B's client for reading; what it raises inside is explained.

    Args:
        reference: What is to be read.

    Raises:
        DependencyMissing: The client is not installed.
        WandbError: There is no login, nobody answers, or there is no such thing.
    """
    require("train", "W&B")
    import wandb

    # it would tell on stderr where its key comes from
    wandb.setup(settings=wandb.Settings(silent=True))
    try:
        yield wandb.Api(timeout=ANSWER_SECONDS)
    except (wandb.errors.Error, ValueError, OSError) as error:
        raise _explained(error, reference, wandb.setup().settings.base_url) from error


def _explained(error: Exception, reference: WandbRef, server: str) -> WandbError:
    chain = list(exception_chain(error))
    kinds = {type(one).__name__ for one in chain}
    answers = [answer for one in chain if (answer := getattr(one, "response", None)) is not None]
    status = next((answer.http_status for answer in answers if getattr(answer, "http_status", 0)), None)
    if status in {401, 403}:
        return WandbError(f"'{reference}' can't be read: W&B ({server}) refuses your key.", _LOGIN)
    if "RunNotFoundError" in kinds or status == 404:
        return WandbError(
            f"'{reference}' is not in W&B ({server}).", "Check entity, project and id: they stand in the run's address."
        )
    if "WandbApiFailedError" not in kinds and kinds & {"AuthenticationError", "UsageError"}:
        return WandbError(f"'{reference}' can't be read: there is no valid key for W&B ({server}).", _LOGIN)
    lost = kinds & {"TimeoutError", "ConnectionError", "gaierror"} or status is None or status >= 500
    if lost:
        return WandbError(f"'{reference}' can't be read: W&B ({server}) does not answer.", "Check the network, and try again.")
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return WandbError(f"'{reference}' can't be read from W&B ({server}): {reason}")
