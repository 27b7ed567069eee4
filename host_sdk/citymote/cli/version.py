"""`citymote version`: which versions of package, specification and registry this is, for bug reports."""

import json
import platform

import typer

from citymote.cli.common import JsonOption, guarded


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("version")(guarded(version))


def version(as_json: JsonOption = False) -> None:
    """Say which version this is.

    Example: citymote version --json
    """
    from citymote import __version__, registry, wire

    facts = {
        "citymote": __version__,
        "specification": f"{wire.VERSION}.{wire.MINOR}",
        "registry": registry.VERSION,
        "python": platform.python_version(),
    }
    if as_json:
        print(json.dumps(facts))
    else:
        for name, value in facts.items():
            print(f"{name:<14} {value}")
