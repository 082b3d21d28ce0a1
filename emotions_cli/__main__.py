"""``python -m emotions_cli`` and the ``emotions`` command."""

from emotions_cli.cli.app import app


def main() -> None:
    """Run the command line."""
    app(prog_name="emotions")


if __name__ == "__main__":
    main()
