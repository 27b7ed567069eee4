"""One node's part in a rollout: how far it is, and a sentence that explains it.

The states are the node's own (SPEC 14.8), as it tells them in sealed events; before and beside them stand those of this
side: it waits, is offered something, or is left out. A state that somebody has to ask about is a failure of this text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How far a node is."""

    WAITING = "waiting"
    OFFERED = "offered"
    DOWNLOADING = "downloading"
    VERIFIED = "verified"
    TRIAL = "trial"
    CONFIRMED = "confirmed"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    LEFT_OUT = "left_out"


TOLD: tuple[State | None, ...] = (
    None, None, State.DOWNLOADING, State.VERIFIED, State.TRIAL, State.CONFIRMED, State.ROLLED_BACK, State.FAILED,
)  # fmt: skip
"""update_state's numbers."""
UNDER_WAY = (State.OFFERED, State.DOWNLOADING, State.VERIFIED, State.TRIAL)
BAD = (State.ROLLED_BACK, State.FAILED)
ENDED = (State.CONFIRMED, State.ROLLED_BACK, State.FAILED)

NO_ROOT, REFUSED, BROKEN, FLASH, RUNTIME, BOARD, GONE, NO_PLACE = range(4, 12)
REASONS = {
    1: "the new application did not prove itself: it crashed, hung or never started",
    2: "the new application did not load",
    3: "the new application gave up: no row was sampled, or no frame acknowledged, within its time",
    NO_ROOT: "no update_root is set on the node",
    REFUSED: "the node refused what it was offered: signature, sequence, class or form; or its key was revoked",
    BROKEN: "files came with other content than was signed",
    FLASH: "its flash does not take the files",
    RUNTIME: "its MicroPython is too old for this release",
    BOARD: "the release is not for its board",
    GONE: "what it had begun is not there any more",
    NO_PLACE: "its board has one place for a runtime: update that over USB",
}
SLOW = 3600.0
"""Seconds of a download after which somebody may wonder."""
FINAL = (NO_ROOT, REFUSED, RUNTIME, BOARD, NO_PLACE)
"""Reasons that another try of the same offer would meet again."""


def reason(code: int) -> str:
    """What a number of update_reason means."""
    return REASONS.get(code, f"reason {code}, which this program does not know")


@dataclass(slots=True)
class Member:
    """A node in a rollout. Times are Unix seconds; `why` is for those that are left out."""

    node: str
    target: str
    stage: int
    state: State = State.WAITING
    since: float = 0.0
    offered: float | None = None
    """When it was offered it last; None: never."""
    progress: int = 0
    reason: int = 0
    failures: int = 0
    why: str = ""
    heard: str = ""
    """The last of the node's events that counted, or that was there before the offer."""


@dataclass(frozen=True)
class Scene:
    """What else there is to know when a member's state is explained."""

    status: str = "running"
    stage: int = 0
    stages: int = 1
    open: bool = True
    held: str = ""
    """Why the node is held, or pinned to another version."""
    full: bool = False
    seen: float | None = None
    tries: int = 3


def ago(seconds: float) -> str:
    """A span of time as people say it."""
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size or (size == 60 and seconds >= size):
            return f"{int(seconds // size)} {name}"
    return f"{int(seconds)} s"


def explain(member: Member, scene: Scene, now: float) -> str:
    """One sentence: what the state is, and why."""
    since = ago(max(0.0, now - member.since))
    match member.state:
        case State.WAITING:
            return "waits: " + _waits(member, scene)
        case State.OFFERED:
            return f"offered {since} ago, has not begun; {_heard(scene, now)}"
        case State.DOWNLOADING:
            text = f"downloading, {member.progress} %"
            return text if now - member.since < SLOW else f"{text}, begun {since} ago; {_heard(scene, now)}"
        case State.VERIFIED:
            return f"verified {since} ago, about to start it"
        case State.TRIAL:
            return f"on trial for {since}"
        case State.CONFIRMED:
            return f"confirmed {since} ago"
        case State.ROLLED_BACK:
            return f"rolled back {since} ago because {reason(member.reason)}"
        case State.FAILED:
            again = member.reason not in FINAL and member.failures < scene.tries and scene.status == "running"
            then = "it tries again" if again else "it does not try again by itself"
            return f"failed {since} ago because {reason(member.reason)}; {then}"
        case State.LEFT_OUT:
            return f"left out: {member.why}"


def explain_told(state: State, progress: int, code: int) -> str:
    """The same of a node that no rollout has offered anything: somebody has carried it there. When is not known."""
    match state:
        case State.DOWNLOADING:
            return f"in no rollout; downloading, {progress} %"
        case State.VERIFIED:
            return "in no rollout; verified, about to start it"
        case State.TRIAL:
            return "in no rollout; on trial"
        case State.ROLLED_BACK | State.FAILED:
            return f"in no rollout; {str(state).replace('_', ' ')} because {reason(code)}"
        case _:
            return f"in no rollout; {state}"


def _heard(scene: Scene, now: float) -> str:
    return "not heard of yet" if scene.seen is None else f"last heard {ago(max(0.0, now - scene.seen))} ago"


def _waits(member: Member, scene: Scene) -> str:
    if scene.held:
        return scene.held
    if scene.status != "running":
        return f"the rollout is {scene.status}"
    if member.stage > scene.stage:
        return f"for stage {member.stage + 1} of {scene.stages}, now is stage {scene.stage + 1}"
    if not scene.open:
        return "no maintenance window is open"
    if scene.full:
        return "as many nodes as may be are under way"
    return "its turn has come"
