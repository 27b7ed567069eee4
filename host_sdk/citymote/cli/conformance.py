"""`citymote conformance`: hold frames, a decoder or a node, ours or anyone's, to the specification."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from citymote.cli.common import JsonOption, KeysOption, guarded, say

if TYPE_CHECKING:
    from citymote.conformance.report import Report

JunitOption = Annotated[Path | None, typer.Option("--junit", help="Also write JUnit XML to this file.")]


def register(app: typer.Typer) -> None:
    """Add the verb's group."""
    group = typer.Typer(help="Hold frames, a decoder or a live node to the specification.", no_args_is_help=True)
    group.command("frames")(guarded(frames))
    group.command("decoder")(guarded(decoder))
    group.command("node")(guarded(node))
    app.add_typer(group, name="conformance")


def frames(
    files: Annotated[
        list[Path], typer.Argument(help="Captures, CBOR sequences, hexadecimal text.", show_default=False)
    ],
    keys: KeysOption = None,
    named: Annotated[str | None, typer.Option("--node", help="Node id of frames that do not name one.")] = None,
    junit: JunitOption = None,
    as_json: JsonOption = False,
) -> int:
    """Hold what a node has sent to the specification: forms, identities, nonces, ranges.

    Example: citymote conformance frames node.cmcap --junit report.xml
    """
    from citymote.conformance.frames import FramesCheck

    check = FramesCheck(keys, named)
    for path in files:
        check.check(path)
    check.report.subject = ", ".join(str(path) for path in files)
    return _tell(check.report, junit, as_json)


def decoder(
    command: Annotated[str, typer.Argument(help="The decoder's command line, in quotes.", show_default=False)],
    any_code: Annotated[
        bool, typer.Option("--any-code", help="A refusal counts, whatever error code it names.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Seconds that an answer may take.")] = 10.0,
    junit: JunitOption = None,
    as_json: JsonOption = False,
) -> int:
    """Run somebody's decoder against the golden vectors.

    The command reads one frame a line from standard input, in hexadecimal digits, and answers each with one line of
    JSON: the frame in the plain form of SPEC 7.6, or {"error": "<code of SPEC 8>"}.

    Example: citymote conformance decoder "node my-decoder.js"
    """
    from citymote.conformance.decoder import check_decoder

    return _tell(check_decoder(command, any_code, timeout), junit, as_json)


def node(
    target: Annotated[
        str, typer.Argument(help="udp:HOST[:PORT], serial:PORT, ble:ID, or its broker's URL.", show_default=False)
    ],
    name: Annotated[
        str | None, typer.Argument(help="At a broker: the node's id, 12 hexadecimal digits.", show_default=False)
    ] = None,
    label: Annotated[
        Path | None,
        typer.Option("--label", help="Its label: a picture, or text in a file ('-': stdin).", show_default=False),
    ] = None,
    frames: Annotated[int, typer.Option("--frames", min=0, help="At a broker: judge so many messages.")] = 10,
    seconds: Annotated[float, typer.Option("--seconds", min=1.0, help="At a broker: wait so long for them.")] = 3600.0,
    keys: KeysOption = None,
    allow_unsealed: Annotated[bool, typer.Option("--allow-unsealed", help="Bare frames are in order here.")] = False,
    junit: JunitOption = None,
    as_json: JsonOption = False,
) -> int:
    """Talk to a live node, or listen to it, and hold what it says to the specification.

    Asked directly, it is sent wrong messages and wrong handshakes of every kind; with its label also what only a
    session can say: altered, repeated and made-up requests, and claims that it has to refuse. Nothing of it changes
    the node. At a broker it is asked if there is a label, and its frames are judged, and taken from nobody.

    Example: citymote conformance node ble:0102030405aa --label label.png

    Example: citymote conformance node mqtt://localhost 0102030405aa --frames 20 --keys city.keys
    """
    from citymote.errors import UsageError

    if target.startswith(("mqtt:", "mqtts:")):
        from citymote.conformance.live import check_node

        if name is None:
            raise UsageError("which node is meant", "", "Give its id behind the broker.")
        report = check_node(
            target, name, frames, seconds, keys, allow_unsealed, lambda text: say(f"citymote: {text}"), _public(label)
        )
        return _tell(report, junit, as_json)
    import asyncio

    from citymote.conformance.node import check_target

    if name is not None:
        raise UsageError("a node that is asked directly needs no id", "", "Leave it out, or name its broker.")
    return _tell(asyncio.run(check_target(target, _public(label))), junit, as_json)


def _public(label: Path | None) -> bytes | None:
    """The public key on a label."""
    from citymote.errors import UsageError
    from citymote.label import Label, load

    if label is None:
        return None
    labels = [Label.parse(sys.stdin.read().strip())] if str(label) == "-" else load(label)
    if len(labels) != 1:
        raise UsageError(f"{label} has {len(labels)} labels", "", "Give the one of this node.")
    return labels[0].public


def _tell(report: "Report", junit: Path | None, as_json: bool) -> int:
    from citymote.errors import UsageError

    if junit is not None:
        try:
            junit.write_text(report.junit(), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {junit}", error.strerror or str(error)) from error
    print(report.json() if as_json else report.text())
    if not report.passed and not as_json:
        say(f"citymote: {report.subject} does not conform; the clauses are those of protocol/SPEC.md")
    return 0 if report.passed else 1
