"""``python -m emotions_cli`` and the ``emotions`` command."""

import io
import sys

from emotions_cli.cli.app import app


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        # on Windows a pipe would get the code page of the country; an argument may hold bytes that are no UTF-8
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    app(prog_name="emotions")


if __name__ == "__main__":
    main()
