"""Where a study is kept, and what goes wrong there, said without passwords."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from emotions_cli.errors import StorageError

# how long a process waits while another one writes to the same file
BUSY_SECONDS = 30
# how long a server may take to answer at all
CONNECT_SECONDS = 8
ATTEMPTS = 3
# drivers that call it so
_TIMED = frozenset(
    ("postgresql", "postgresql+psycopg2", "postgresql+psycopg", "mysql", "mysql+mysqldb", "mysql+pymysql", "mariadb+pymysql")
)
# stands for a password
_HIDDEN = "***"
# module -> package, where they differ
_DRIVERS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient"}
_FORM = "Write postgresql://USER@HOST/DATABASE, mysql://USER@HOST/DATABASE or sqlite:///FILE."


@dataclass(frozen=True, repr=False)
class StudyStorage:
    """The address of a study's database.

    Attributes:
        url: As SQLAlchemy writes it, with its password; never to be shown or kept.
        shown: The same without it.
    """

    url: str
    shown: str

    def __str__(self) -> str:
        """Return the address without its password."""
        return self.shown

    @classmethod
    def at(cls, url: str) -> StudyStorage:
        """Read an address.

        Raises:
            StorageError: It is none.
        """
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError

        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            # nothing of it is repeated: who knows where its password stands
            raise StorageError("--storage is no database URL.", _FORM) from None
        # drivers take one among their options too
        query = {name: _HIDDEN if "pass" in name.lower() else value for name, value in parsed.query.items()}
        shown = parsed.set(query=query).render_as_string(hide_password=True)
        return cls(parsed.render_as_string(hide_password=False), shown.replace(quote_plus(_HIDDEN), _HIDDEN))

    @classmethod
    def in_file(cls, path: Path) -> StudyStorage:
        """Return the address of an SQLite file."""
        from sqlalchemy.engine import URL

        url = URL.create("sqlite", database=str(path)).render_as_string()
        return cls(url, url)

    @property
    def lacks_password(self) -> bool:
        """Whether it was read from an address whose password is hidden."""
        return _HIDDEN in self.shown and self.shown == self.url.replace(quote_plus(_HIDDEN), _HIDDEN)

    def connect(self) -> Any:
        """Open the database, and make its tables.

        Returns:
            One of Optuna's storages.

        Raises:
            StorageError: It can't be used.
        """
        from optuna.storages import RDBStorage

        kind = self.url.partition(":")[0]
        options = (
            {"timeout": BUSY_SECONDS} if kind == "sqlite" else {"connect_timeout": CONNECT_SECONDS} if kind in _TIMED else {}
        )
        # Optuna fills in names in braces
        url = self.url.replace("{", "{{").replace("}", "}}")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self.errors():
                    return RDBStorage(url, engine_kwargs={"connect_args": options})
            except StorageError as error:
                # two processes that make the same tables at the same time: the one that loses finds them there
                if "exists" not in error.message or attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Map what goes wrong with the database to an error that names it and the next step.

        Raises:
            StorageError: Something did.
        """
        from optuna.exceptions import OptunaError, StorageInternalError
        from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

        try:
            yield
        except NoSuchModuleError as error:
            raise StorageError(f"The study's database '{self}' can't be used: it is of no known kind.", _FORM) from error
        except ImportError as error:
            module = getattr(error.__cause__ or error, "name", None) or "its driver"
            raise StorageError(
                f"The study's database '{self}' can't be used: {module} is not installed.",
                f"Install the driver: pip install '{_DRIVERS.get(module, module)}'",
            ) from error
        except (SQLAlchemyError, StorageInternalError, OptunaError, RuntimeError) as error:
            cause = error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error
            raise StorageError(
                f"The study's database '{self}' can't be used: {self._reason(cause)}.", self._hint(cause)
            ) from error

    def _reason(self, error: BaseException) -> str:
        from sqlalchemy.engine import make_url

        text = str(getattr(error, "orig", None) or error).strip()
        line = (text.splitlines() or [type(error).__name__])[0].rstrip(".")
        address = make_url(self.url)
        secrets = [address.password, *(value for name, value in address.query.items() if "pass" in name.lower())]
        for secret in filter(None, secrets):
            line = line.replace(str(secret), _HIDDEN)
        return line

    def _hint(self, error: BaseException) -> str:
        if "locked" in str(error):
            return "Another process writes to it all the time; go on later with --resume, or take a database server."
        if self.url.startswith("sqlite"):
            return "Check the file's folder and its permissions; a sweep that has begun goes on with --resume."
        return "Check the address, the network and the account; a sweep that has begun goes on with --resume."
