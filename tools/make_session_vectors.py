"""Writes protocol/vectors/{coap,edhoc,oscore,claims,delegations,session}-*.json: SPEC chapters 12 and 13.

Everything in them is made again to the byte each time: private keys, ephemeral keys and the numbers of signatures are
SHA-256 of sentences, published and therefore worthless. Golden files are never edited in place; so this only writes
what is not there, and fails when what is there differs. The cases are in `coap_cases`, `oscore_cases`, `claim_cases`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / "protocol"), str(TOP / "host_sdk")]

from citymote_protocol.errors import FrameError  # noqa: E402
from claim_cases import claims, delegations  # noqa: E402
from coap_cases import bad_messages, messages  # noqa: E402
from golden import write  # noqa: E402
from oscore_cases import bad_edhoc, bad_oscore, oscore_messages  # noqa: E402
from session_parties import SESSIONS, Case  # noqa: E402


def errors() -> list[Case]:
    """Every code of chapters 12 and 13 that chapter 8 has not, as their tables have it."""
    made: list[Case] = []
    for name in ("12-requests.md", "13-sessions.md"):
        text = (TOP / "protocol" / "spec" / name).read_text(encoding="utf-8")
        for line in text.splitlines():
            found = re.match(r"\| (1[23]\.\d+\.\d+) \| (.+) \| ((?:`[a-z_0-9]+`|, |those of 1\.2)+) \|$", line)
            if found:
                made += [{"code": code, "clause": found[1]} for code in re.findall(r"`([a-z_0-9]+)`", found[3])]
    made.append({"code": "credential", "clause": "13.2"})
    chapter = (TOP / "protocol" / "spec" / "13-sessions.md").read_text(encoding="utf-8")
    table = chapter.split("## 13.3")[1].split("## 13.4")[0]
    codes = " ".join(re.findall(r"^\| \d \| .+ \| (.+) \| .+ \|$", table, re.MULTILINE))
    made += [{"code": code, "clause": "13.3"} for code in re.findall(r"`([a-z_]+)`", codes)]
    first: dict[str, Case] = {}
    for case in made:
        first.setdefault(case["code"], case)
    return list(first.values())


def resource_errors() -> list[Case]:
    """Every code of chapter 16's table, with its clause and the CoAP code that it comes with."""
    text = (TOP / "protocol" / "spec" / "16-resources.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (16\.11\.\d+) \| (.+) \| `(\d\.\d\d)` \| `([a-z_]+)` \|$", text, re.MULTILINE)
    return [{"code": code, "clause": clause, "coap": coap, "what": what} for clause, what, coap, code in rows]


@contextmanager
def refusing() -> Generator[None]:
    try:
        yield
    except FrameError as error:
        raise AssertionError(f"a right case was refused: {error}") from error


FILES: tuple[tuple[str, str, Callable[[], list[Case]]], ...] = (
    ("coap-messages", "SPEC 12.2: messages of UDP, in both directions.", messages),
    ("coap-bad", "SPEC 12.2: what is refused, with its code.", bad_messages),
    ("edhoc-sessions", "SPEC 13.1 to 13.3: whole sessions, in both roles.", lambda: [s.case() for s in SESSIONS]),
    ("edhoc-bad", "SPEC 13.3: what a responder refuses; message_3 comes in the session named.", bad_edhoc),
    ("oscore-messages", "SPEC 12.5: under the keys of a session in edhoc-sessions.json.", oscore_messages),
    ("oscore-bad", "SPEC 12.5: requests that a server with that session's context refuses.", bad_oscore),
    ("claims", "SPEC 13.8: claims at a node with this secret, in the session of this value.", claims),
    ("delegations", "SPEC 13.9: what a node that knows this judges.", delegations),
    ("session-errors", "SPEC chapters 12 and 13: their codes and clauses.", errors),
    ("resource-errors", "SPEC 16.11: their codes and clauses, and the CoAP code of the answer.", resource_errors),
)


def main() -> int:
    with refusing():
        good = [write(f"{name}.json", what, make()) for name, what, make in FILES]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
