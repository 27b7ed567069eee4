"""The command line: one module a verb, found by name; this file only puts them together.

A verb's module has `register(app)`, which adds its command or group to the typer application. A verb exists when its
module does, so that a package without an optional part says so by not listing it. Modules load what they need inside
their functions: `citymote --help` loads neither pyarrow nor bleak. How errors, `--json` and exit statuses are done is
in `common`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import typer

# The order of DESIGN's list, which is the order of a node's life.
VERBS = (
    "demo",
    "boards",
    "flash",
    "label",
    "owner",
    "fleet",
    "scan",
    "provision",
    "node",
    "update",
    "decode",
    "collect",
    "export",
    "keys",
    "simulate",
    "conformance",
    "version",
)


def application() -> typer.Typer:
    """The typer application with every verb that this installation has."""
    app = typer.Typer(
        name="citymote",
        help="City sensor nodes: decode, collect, export, simulate; one verb a job, each with --help and an example.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def root() -> None:  # pyright: ignore[reportUnusedFunction]
        """City sensor nodes: decode, collect, export, simulate; one verb a job, each with --help and an example."""

    for verb in VERBS:
        if find_spec(f"citymote.cli.{verb}") is not None:
            import_module(f"citymote.cli.{verb}").register(app)
    return app


def main() -> None:
    """Entry point of the script `citymote`."""
    application()(prog_name="citymote")
