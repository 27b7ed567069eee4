"""Holds somebody else's decoder to the golden vectors, over a line protocol that any language can speak.

The decoder is a command. It reads one line for each case from standard input: the frame in hexadecimal digits (an
empty line is an empty frame). It answers with one line of JSON on standard output: the frame in the plain form of
SPEC 7.6, or `{"error": "<code>"}` with a code of SPEC 8. It ends when its input ends. What it writes to standard
error is not looked at. A decoder that dies, is silent for too long, or prints something else fails the case and is
started again.
"""

from __future__ import annotations

import contextlib
import json
import queue
import shlex
import subprocess
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, cast

from citymote.conformance import clauses
from citymote.conformance.report import Report
from citymote.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

# A decoder that has to be started again so often will not get better.
RESTARTS = 8
# Frames are cut at every byte up to here and near their end; between, where one byte is like another, at each seventh.
CUT_ALL = 40


@dataclass(frozen=True, slots=True)
class Trial:
    """One question: a frame, and the plain form or the code that must be the answer."""

    name: str
    data: bytes
    frame: dict[str, Any] | None = None
    error: str | None = None
    member_of: str | None = None  # a group that counts as one case


def trials() -> Iterator[Trial]:
    """Every question: golden frames, other readable ones, bad ones, and golden ones cut short or with a byte behind."""
    golden = clauses.vectors("frames")
    for case in [*golden, *clauses.vectors("frames-calibration"), *clauses.vectors("frames-other")]:
        yield Trial(case["name"], bytes.fromhex(case["hex"]), frame=case["frame"])
    for case in [*clauses.vectors("frames-bad"), *clauses.vectors("frames-bad-2")]:
        yield Trial(case["name"], bytes.fromhex(case["hex"]), error=case["error"])
    for case in golden:
        data = bytes.fromhex(case["hex"])
        yield Trial(f"{case['name']}, and a byte behind", data + b"\x00", error="trailing")
        for size in range(len(data)):
            if CUT_ALL < size < len(data) - 4 and size % 7:
                continue
            yield Trial(
                f"{case['name']}, cut at {size}", data[:size], error="truncated", member_of=f"{case['name']}, cut"
            )


class _Peer:
    """The command, started again when it dies."""

    def __init__(self, command: str, timeout: float) -> None:
        self._arguments = shlex.split(command)
        if not self._arguments:
            raise UsageError("the decoder's command is empty", "", "Give the command as one argument, in quotes.")
        self._timeout = timeout
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self.starts = 0

    def ask(self, line: str) -> str:
        """The answer to one line; raises TimeoutError or BrokenPipeError."""
        process = self._running()
        given = cast("IO[str]", process.stdin)
        try:
            given.write(line + "\n")
            given.flush()
            answer = self._answers.get(timeout=self._timeout)
        except queue.Empty:
            self.stop()
            raise TimeoutError(f"no answer within {self._timeout:g} s") from None
        except OSError:
            answer = ""
        if not answer:
            process.wait(self._timeout)
            status = process.returncode
            self.stop()
            raise BrokenPipeError(f"it ended with status {status}")
        return answer

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            self.starts += 1
            try:
                process = subprocess.Popen(
                    self._arguments,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                    encoding="utf-8",
                    errors="replace",
                )
            except OSError as error:
                raise UsageError(f"cannot start {self._arguments[0]}", error.strerror or str(error)) from error
            self._answers = queue.Queue()
            threading.Thread(target=_pump, args=(process, self._answers), daemon=True).start()
            self._process = process
        return self._process

    def stop(self) -> None:
        """End the command, kindly at first."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        try:
            process.wait(0.3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _pump(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    """Lines of a process into a queue; an empty text is its end."""
    with cast("IO[str]", process.stdout) as lines:
        for line in lines:
            answers.put(line)
    answers.put("")


def check_decoder(command: str, any_code: bool = False, timeout: float = 10.0) -> Report:
    """Ask a decoder everything. With `any_code` a refusal counts whatever code it names."""
    report = Report(f"decoder {command}")
    peer = _Peer(command, timeout)
    groups: dict[str, str] = {}
    try:
        for trial in trials():
            if peer.starts > RESTARTS:
                report.add("the rest", "7.6", False, f"given up: the decoder was started {RESTARTS} times")
                break
            clause, why = _judge(trial, peer, any_code)
            if trial.member_of is None:
                report.add(trial.name, clause, not why, why)
            elif not groups.get(trial.member_of):
                groups[trial.member_of] = f"{trial.name}: {why}" if why else ""
    finally:
        peer.stop()
    for name, why in groups.items():
        report.add(name, clauses.of_code("truncated"), not why, why)
    return report


def _judge(trial: Trial, peer: _Peer, any_code: bool) -> tuple[str, str]:
    """The clause that a trial stands for or that its answer breaks, and what is wrong with the answer ("": nothing)."""
    kind = str(trial.frame["kind"]) if trial.frame is not None else ""
    clause = clauses.of_code(trial.error) if trial.error is not None else {"packed": "4", "batch": "3"}.get(kind, "6")
    try:
        answer = peer.ask(trial.data.hex())
    except (TimeoutError, BrokenPipeError) as error:
        return clause, str(error)
    try:
        parsed: object = json.loads(answer)
    except ValueError:
        return "7.6", f"the answer is no JSON: {answer.strip()[:60]!r}"
    if not isinstance(parsed, dict):
        return "7.6", "the answer is no JSON object"
    said = cast("dict[str, object]", parsed)
    code = said.get("error")
    if trial.frame is None:
        if code is None:
            return clause, f"accepted, where {trial.error} is due"
        if code != trial.error and not any_code:
            return clause, f"refused as {code}, where {trial.error} is due"
        return clause, ""
    if code is not None:
        return clause, f"refused as {code}, and it is sound"
    for member, value in trial.frame.items():
        if member not in said:
            return clauses.of_member(kind, member), f"{member} is missing in the answer"
        given = said[member]
        # True is 1 to Python, and 1.0 is 1; in the plain form a number is an integer.
        if json.dumps(given) != json.dumps(value):
            return clauses.of_member(kind, member), f"{member} is {_short(given)}, and must be {_short(value)}"
    return clause, ""


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 70 else text[:67] + "..."
