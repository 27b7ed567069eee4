"""Virtual nodes that run a few lines of a test's own instead of the application, over the real hardware layer."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from citymote.testing.vm import VirtualNode

from .vm import application, best

_HEAD = """\
import asyncio
from node import hal


def say(*values):
    hal.event("said", values)


"""


def scripted(folder: Path, code: str, **options: Any) -> VirtualNode:
    """A node whose `main.py` is `code`: statements of `async def main()`; `say(...)` tells the test something."""
    scripts = folder / "script"
    scripts.mkdir(exist_ok=True)
    body = textwrap.indent(textwrap.dedent(code), "    ")
    (scripts / "main.py").write_text(f"{_HEAD}async def main():\n{body}\n\n\nhal.run(main())\n")
    # with all its names: the script looks inside
    options.setdefault("path", [scripts, application(best(options.get("arch", 32)).bits)])
    return VirtualNode(folder / "node", **options)


def said(node: VirtualNode) -> list[Any]:
    """What the script said, a single value unpacked."""
    return [data[0] if len(data) == 1 else tuple(data) for data in node.event_data("said")]


def ran(folder: Path, code: str, **options: Any) -> list[Any]:
    """Run a script to its end; what it said."""
    with scripted(folder, code, **options) as node:
        node.start()
        node.wait(60)
        return said(node)
