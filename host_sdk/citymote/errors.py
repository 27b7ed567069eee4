"""One error tree for the whole host SDK.

Every error says three things: what happened (and to which file, frame or node), why as far as it is known, and what
to do next; and it knows whose fault it was, because that decides who acts. `whose` is one of:

    caller   the arguments, the settings or the file handed in
    sender   what a node, or somebody in its place, put on the wire
    peer     a broker or another service this program talks to
    machine  the computer this runs on: disk, permissions, a missing package

The command line prints `str(error)` and exits with status 1; a program catches the class. Secrets never enter a text.
"""

from __future__ import annotations


class CitymoteError(Exception):
    """Root of the tree."""

    whose = "caller"

    def __init__(self, what: str, why: str = "", then: str = "") -> None:
        self.what = what
        self.why = why
        self.then = then
        super().__init__(what, why, then)

    def __str__(self) -> str:
        text = self.what
        if self.why:
            text += ": " + self.why
        if self.then:
            text = text.rstrip(".") + ". " + self.then
        return text


class UsageError(CitymoteError):
    """An argument that cannot be meant: the caller changes the call."""


class SourceError(CitymoteError):
    """A file or stream of frames that cannot be read at all."""


class KeyFileError(CitymoteError):
    """A key file that is missing, malformed or readable by others."""


class MissingExtra(CitymoteError):
    """An optional dependency that this function needs is not installed."""

    whose = "machine"

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"{purpose} needs the package {package}",
            "it is not installed",
            f"Install it with: pip install 'citymote[{extra}]'",
        )


class FrameProblem(CitymoteError):
    """One frame that yields no readings. `code` is the specification's error code, `where` the place in the source."""

    whose = "sender"
    kind = "refused"

    def __init__(self, where: str, code: str, why: str, then: str = "", *, node: str | None = None) -> None:
        self.where = where
        self.code = code
        self.node = node
        what = f"{where} ({code})" if node is None else f"{where} from node {node} ({code})"
        super().__init__(what, why, then)


class DamagedRecord(FrameProblem):
    """Bytes that the file or the wire has damaged: there is no frame to look at."""

    kind = "damaged"


class RefusedFrame(FrameProblem):
    """A whole frame that breaks the specification; `code` names the clause."""

    kind = "refused"


class UnopenableFrame(FrameProblem):
    """A sealed frame that no key at hand opens, or whose seal is broken."""

    kind = "unopenable"


class StoreError(CitymoteError):
    """The store cannot be opened, is of another version, or cannot be written."""

    whose = "machine"


class BrokerError(CitymoteError):
    """The MQTT broker cannot be reached, refuses, or broke a rule of the protocol."""

    whose = "peer"


class ExportError(CitymoteError):
    """Readings that an export format cannot carry, or a place it cannot write to."""


def need(module: str, extra: str, purpose: str) -> object:
    """Import an optional package, or say which extra brings it."""
    from importlib import import_module

    try:
        return import_module(module)
    except ImportError as missing:
        # A package that is there but broken is another story: its own error is worth more than ours.
        if missing.name is not None and missing.name.split(".")[0] != module.split(".", maxsplit=1)[0]:
            raise
        raise MissingExtra(module.split(".", maxsplit=1)[0], extra, purpose) from None
