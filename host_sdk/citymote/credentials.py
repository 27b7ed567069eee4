"""What a node shows its broker: minted for that one node, revoked alone, known to nobody else.

`CommandCredentials` asks a program of the broker's operator; `MosquittoFile` keeps Mosquitto's password file. A node's
user is its id, so that one pattern in the broker's access list gives each node its own topics and no others:

    pattern readwrite citymote/%u/#
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import secrets
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from citymote import private_files
from citymote.errors import CitymoteError, UsageError

ALLOWED = ("broker_user", "broker_password", "broker_cert", "broker_key")
ROUNDS = 101
"""Mosquitto's own number of PBKDF2 rounds; its passwords here are 144 random bits, so few rounds suffice."""
_LONGEST = 16384
_MOST = 64 << 20


class CredentialsError(CitymoteError):
    """Credentials that could not be minted or revoked."""

    whose = "peer"


class Credentials(ABC):
    """Whoever knows the broker."""

    @abstractmethod
    async def mint(self, node: str) -> dict[str, str]:
        """New settings for a node: broker_user and broker_password, or broker_cert and broker_key. Minting again
        makes what was there before worthless."""

    @abstractmethod
    async def revoke(self, node: str) -> None:
        """The node is let in no more; harmless where it never was."""


class CommandCredentials(Credentials):
    """A program, called with `mint NODE` or `revoke NODE`. For `mint` it prints one JSON object of settings; what it
    says on standard error is handed on when it fails. Secrets pass through its pipes alone."""

    def __init__(self, command: Sequence[str], *, timeout: float = 60) -> None:
        if not command:
            raise UsageError("there is no command to mint credentials with")
        self._command = list(command)
        self._timeout = timeout

    async def mint(self, node: str) -> dict[str, str]:
        """See `Credentials`."""
        out = await self._run("mint", node)
        try:
            told: Any = json.loads(out)
        except ValueError:
            told = None
        if not isinstance(told, Mapping):
            raise CredentialsError(f"{self._command[0]} mint {node}: no JSON object came")
        made = cast("Mapping[str, Any]", told)
        wrong = [name for name, value in made.items() if name not in ALLOWED or not isinstance(value, str)]
        if wrong or not made:
            raise CredentialsError(
                f"{self._command[0]} mint {node}: {wrong[0] if wrong else 'nothing'} is no credential",
                "",
                f"It prints {', '.join(ALLOWED)}.",
            )
        return dict(made)

    async def revoke(self, node: str) -> None:
        """See `Credentials`."""
        await self._run("revoke", node)

    async def _run(self, verb: str, node: str) -> bytes:
        what = f"{self._command[0]} {verb} {node}"
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, verb, node, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE, limit=_LONGEST, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise CredentialsError(f"{what} cannot be run", error.strerror or "") from None
        try:
            async with asyncio.timeout(self._timeout):
                out, said = await process.communicate()
        except BaseException as error:
            # with all that it has started, or its pipes would stay open
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
            if isinstance(error, TimeoutError):
                raise CredentialsError(f"{what} takes longer than {self._timeout:g} s") from None
            raise
        if process.returncode:
            lines = said.decode(errors="replace").strip().splitlines()
            raise CredentialsError(f"{what} failed", lines[-1][:200] if lines else f"status {process.returncode}")
        if len(out) > _LONGEST:
            raise CredentialsError(f"{what} says more than {_LONGEST} bytes")
        return out


class MosquittoFile(Credentials):
    """Mosquitto's password file (mosquitto_passwd(1), format 7: PBKDF2 with SHA-512). `pid` is the broker's process,
    or the file that has its number: it is told to read the file anew (SIGHUP)."""

    def __init__(self, path: Path, *, pid: int | Path | None = None) -> None:
        self.path = path
        self._pid = pid
        self._turn = asyncio.Lock()

    async def mint(self, node: str) -> dict[str, str]:
        """See `Credentials`."""
        password = secrets.token_urlsafe(18)
        salt = secrets.token_bytes(12)
        digest = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ROUNDS, 64)
        line = f"{node}:$7${ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"
        await self._put(node, line)
        return {"broker_user": node, "broker_password": password}

    async def revoke(self, node: str) -> None:
        """See `Credentials`."""
        await self._put(node, None)

    async def _put(self, node: str, line: str | None) -> None:
        async with self._turn:
            try:
                lines = self._read()
                kept = [old for old in lines if old.partition(":")[0] != node]
                if line is None and kept == lines:
                    return
                private_files.write(
                    self.path, "".join(f"{one}\n" for one in [*kept, *([line] if line else [])]).encode()
                )
                self._tell()
            except private_files.NotPrivate as why:
                raise CredentialsError(f"{self.path} is not used", str(why), f"chmod 600 {self.path}") from None
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or "it is no text"
                raise CredentialsError(f"{self.path} cannot be changed", why) from None

    def _read(self) -> list[str]:
        if not self.path.exists():
            return []
        return private_files.read(self.path, _MOST).decode().splitlines()

    def _tell(self) -> None:
        if self._pid is None:
            return
        try:
            number = self._pid if isinstance(self._pid, int) else int(self._pid.read_text())
            os.kill(number, signal.SIGHUP)
        except (OSError, ValueError):
            raise CredentialsError(
                "the broker cannot be told of its new passwords", f"its process is {self._pid}"
            ) from None
