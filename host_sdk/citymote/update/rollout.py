"""The rollout itself: who is offered what when, what nodes made of it, and when it is better to stop.

A step looks at what has been heard, judges, writes down what it decides, and only then changes what nodes find when
they ask; so it may be killed anywhere and the next step puts right what is missing. Nothing here waits and nothing
reads a clock: `step(now)` is called as often as one likes. A node is in one rollout at a time: a newer one takes what
an older has not finished.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from operator import attrgetter
from typing import TYPE_CHECKING

from citymote.errors import UsageError

from . import inventory
from .book import Book, Rollout, Seen
from .bundle import Bundle, Target
from .inventory import Inventory, Known, Standing
from .keyring import Checked, KeySet, check
from .member import BAD, ENDED, FINAL, NO_ROOT, REFUSED, TOLD, UNDER_WAY, Member, Scene, State
from .plan import Plan
from .version import compare

if TYPE_CHECKING:
    from .publish import Publication

RUNNING, PAUSED, ABORTED, FINISHED = "running", "paused", "aborted", "finished"
JUMP = 1 << 16
"""Sequence numbers that a node lets one update leave out (SPEC 14.6.4)."""


def checked(bundle: Bundle, keys: KeySet) -> dict[str, Checked]:
    """What nodes with this key set find in each envelope; an error where one is missing, or they would refuse it."""
    for target in bundle.targets:
        if target.name not in bundle.envelopes:
            raise UsageError(f"the target {target.name} is not signed", "", "Sign the bundle: citymote update sign.")
    found = {name: check(envelope, keys) for name, envelope in bundle.envelopes.items()}
    if len({one.sequence for one in found.values()}) != 1:
        raise UsageError("the bundle's envelopes have different sequences", "", "Sign it again.")
    return found


@dataclass(frozen=True)
class Options:
    """How nodes are chosen, beside the expression: `again`: also who has this version; `downgrade`: also who has a
    newer one."""

    again: bool = False
    downgrade: bool = False


def begin(
    book: Book,
    bundle: Bundle,
    keys: KeySet,
    chosen: Mapping[str, Known],
    publication: Publication,
    plan: Plan,
    now: float,
    *,
    condition: str = "",
    options: Options = Options(),
) -> Rollout:
    """Write a new rollout down, files published, nobody offered anything yet; UsageError where it cannot be meant."""
    envelopes = checked(bundle, keys)
    sequence = next(iter(envelopes.values())).sequence
    if not chosen:
        raise UsageError(f"no node is meant by {condition!r}" if condition else "there are no nodes")
    placed = [(known, *_place(bundle, known, options)) for known in chosen.values()]
    meant = [known for known, target, _ in placed if target is not None]
    if meant:
        highest, lowest = max(one.confirmed for one in meant), min(one.confirmed for one in meant)
        if sequence <= highest:
            why = f"a node has confirmed sequence {highest} already"
            raise UsageError(f"sequence {sequence} would be refused", why, "Sign the bundle with a higher one.")
        if sequence > lowest + JUMP:
            why = f"a node that stands at {lowest} lets at most {JUMP} be left out"
            raise UsageError(f"sequence {sequence} would be refused", why, "Sign the bundle with a lower one.")
    emergency = all(one.key.role == "emergency" for one in envelopes.values())
    made = Rollout(
        0, bundle.content, str(bundle.version), sequence, condition, plan, emergency, RUNNING, "", 0, None, now,
        str(publication.folder.resolve()),
    )  # fmt: skip
    publication.put_files(bundle)
    with book.transaction():
        book.learn(bundle)
        members = _staged(placed, plan, now)
        _take_over(book, members, now)
        book.add_rollout(made, dict(bundle.envelopes), members)
    return made


def envelope_for(bundle: Bundle, board: str) -> bytes:
    """The envelope for a board; UsageError where the release has none for it."""
    arch = inventory.architecture(board)
    found = bundle.target(arch, board) if arch else _by_board(bundle, board)
    if found is None:
        raise UsageError(f"the release has nothing for the board {board}")
    if found.name not in bundle.envelopes:
        raise UsageError(f"the target {found.name} is not signed", "", "Sign the bundle: citymote update sign.")
    return bundle.envelopes[found.name]


def _by_board(bundle: Bundle, board: str) -> Target | None:
    # A board without a chip can have any architecture: it has to be named, by one target alone.
    fitting = [target for target in bundle.targets if board and board in target.boards]
    return fitting[0] if len(fitting) == 1 else None


def _place(bundle: Bundle, known: Known, options: Options) -> tuple[Target | None, str]:
    # The target that a node gets, or why it gets none.
    facts = known.facts
    found = bundle.target(facts.architecture, facts.board)
    if found is None and not facts.architecture:
        found = _by_board(bundle, facts.board)
    if found is None:
        return None, f"the release has nothing for the board {facts.board or 'that nobody has named'}"
    order = compare(facts.version, str(bundle.version))
    if not options.again and (order == 0 or known.content == bundle.content):
        return None, f"it has {facts.version} already"
    if not options.downgrade and order is not None and order > 0:
        return None, f"it has {facts.version}, which is newer"
    if facts.runtime and (compare(facts.runtime, bundle.runtime) or 0) < 0:
        return None, f"its MicroPython {facts.runtime} is older than {bundle.runtime}"
    return found, ""


def _staged(placed: Iterable[tuple[Known, Target | None, str]], plan: Plan, now: float) -> list[Member]:
    # Who comes first is drawn by lot, the same lot every time; but a canary that nobody hears sings to nobody.
    left_out: list[Member] = []
    going: list[tuple[Known, Target]] = []
    for known, target, why in placed:
        if target is None:
            left_out.append(Member(known.facts.node, "", 0, State.LEFT_OUT, now, why=why))
        else:
            going.append((known, target))
    going.sort(key=lambda one: ("online" not in one[0].facts.flags, sha256(one[0].facts.node.encode()).digest()))
    sizes = plan.sizes(len(going))
    stages = [next(k for k, size in enumerate(sizes) if place < size) for place in range(len(going))]
    made = [
        Member(known.facts.node, target.name, stage, State.WAITING, now)
        for (known, target), stage in zip(going, stages, strict=True)
    ]
    return made + left_out


def _take_over(book: Book, members: Iterable[Member], now: float) -> None:
    # Older rollouts let go of nodes that have not ended.
    wanted = {one.node for one in members if one.state != State.LEFT_OUT}
    for other in book.active():
        taken: list[Member] = []
        for one in book.members(other.number).values():
            if one.node in wanted and one.state not in (*ENDED, State.LEFT_OUT):
                one.state, one.since, one.why = State.LEFT_OUT, now, "a newer rollout has it"
                taken.append(one)
        book.keep_members(other.number, taken)


# What a step may change of a member: compared by this, because a city has many.
_frozen = attrgetter("state", "since", "offered", "progress", "reason", "failures", "why", "heard")


class Conductor:
    """Takes all rollouts of a book forward. `publications` are opened by the folder that a rollout names."""

    def __init__(self, book: Book, publications: Mapping[str, Publication], nodes: Inventory) -> None:
        self._book = book
        self._publications = publications
        self._inventory = nodes
        self._found: dict[tuple[str, str], int] = {}  # (folder, node) -> the rollout whose envelope lies there
        self._swept = False

    def step(self, now: float) -> list[Rollout]:
        """Take in what nodes told, decide, write down, publish; the rollouts that go on."""
        standing = self._inventory.standing()
        active = [(one, self._book.members(one.number)) for one in self._book.active()]
        for made, members in active:
            before = {node: _frozen(one) for node, one in members.items()}
            was = replace(made)
            confirmed = _hear(made, members, standing, now)
            lines = self._decide(made, members, standing, now)
            with self._book.transaction():
                self._book.keep_members(made.number, [m for n, m in members.items() if _frozen(m) != before[n]])
                self._book.keep_nodes(confirmed)
                if made != was:
                    self._book.keep_rollout(made)
                for line in lines:
                    self._book.note(made.number, now, line)
        self._publish(active)
        return self._book.active()

    def _decide(
        self, made: Rollout, members: dict[str, Member], standing: Mapping[str, Standing], now: float
    ) -> list[str]:
        lines: list[str] = []
        going = [one for one in members.values() if one.state != State.LEFT_OUT]
        count = Counter(one.state for one in going)
        bad = count[State.ROLLED_BACK] + count[State.FAILED]
        offered = sum(one.offered is not None for one in going)
        if made.status in (RUNNING, PAUSED) and bad and made.plan.too_many(bad, offered):
            made.status = ABORTED
            made.why = f"{bad} of {offered} nodes failed or rolled back; {made.plan.abort_at} was too many"
            lines.append(f"aborted: {made.why}")
        if made.status == RUNNING:
            lines += _stage(made, going, standing, now)
            _offer(made, going, standing, now)
        else:
            _call_back(going, now)
        if made.status == RUNNING and _over(made, going, standing):
            ended = Counter(str(one.state) for one in members.values())
            lines.append("finished: " + ", ".join(f"{number} {state}" for state, number in sorted(ended.items())))
            made.status = FINISHED
        return lines

    def _publish(self, active: Sequence[tuple[Rollout, dict[str, Member]]]) -> None:
        if not self._swept:  # what a host that was killed in between has left
            self._swept = True
            wanted = {one.node for made, members in active for one in members.values() if _finds(made, one)}
            for publication in self._publications.values():
                for node in publication.offers():
                    if node not in wanted:
                        publication.withdraw(node)
        for made, members in active:
            publication = self._publications[made.publication]
            envelopes: dict[str, bytes] = {}
            for one in members.values():
                place, wants = (made.publication, one.node), _finds(made, one)
                lies = self._found.get(place, 0)
                if wants and lies != made.number:
                    envelopes = envelopes or self._book.envelopes(made.number)
                    publication.offer(one.node, envelopes[one.target])
                    self._found[place] = made.number
                elif not wants and lies == made.number:
                    publication.withdraw(one.node)
                    self._found[place] = 0


def _hear(made: Rollout, members: dict[str, Member], standing: Mapping[str, Standing], now: float) -> list[Seen]:
    """Take in what nodes told since; those that have confirmed this release, as they now stand."""
    confirmed: list[Seen] = []
    for node, one in members.items():
        stands = standing.get(node)
        if stands is None or one.offered is None or one.state == State.LEFT_OUT or stands.seen.event == one.heard:
            continue
        seen = stands.seen
        state = TOLD[seen.state] if seen.state < len(TOLD) else None
        if state is None or not _about(made, one, seen, state):
            continue
        one.heard = seen.event
        if state in BAD:
            one.failures += 1
        if state != one.state:
            one.state, one.since = state, now
        one.progress, one.reason = seen.progress, seen.reason
        if state == State.CONFIRMED:
            confirmed.append(seen._replace(content=made.content, target=one.target))
    return confirmed


def _stage(made: Rollout, going: list[Member], standing: Mapping[str, Standing], now: float) -> list[str]:
    if made.stage + 1 >= len(made.plan.stages):
        return []
    due = [one for one in going if one.stage <= made.stage and not _rule(made, standing.get(one.node))]
    silent = sum(_silent(one, made.plan, standing.get(one.node), now) for one in due)
    ended = sum(one.state in ENDED for one in due)
    if due and not (ended and ended * 100 >= made.plan.enough * (len(due) - silent)):
        made.settled = None
        return []
    if made.settled is None:
        made.settled = now
    if due and now - made.settled < made.plan.soak:
        return []
    made.stage, made.settled = made.stage + 1, None
    return [f"stage {made.stage + 1} of {len(made.plan.stages)} begins"]


def _silent(one: Member, plan: Plan, stands: Standing | None, now: float) -> bool:
    """Whether nobody needs to wait for it: not heard of since it was offered this, long ago."""
    if one.state not in (State.OFFERED, State.WAITING) or one.offered is None or now - one.offered < plan.patience:
        return False
    return stands is None or stands.seen.seen is None or stands.seen.seen < one.offered


def _offer(made: Rollout, going: list[Member], standing: Mapping[str, Standing], now: float) -> None:
    open_ = made.emergency or made.plan.open(now)
    under_way = sum(one.state in UNDER_WAY for one in going)
    for one in going:
        if one.state not in (State.OFFERED, State.WAITING):
            continue
        stands = standing.get(one.node)
        held = _rule(made, stands)
        if one.state == State.OFFERED and (held or not open_):
            one.state, one.since = State.WAITING, now
            under_way -= 1
        elif one.state == State.WAITING and one.stage <= made.stage and open_ and not held:
            if made.plan.parallel and under_way >= made.plan.parallel:
                continue
            # What the node said before it could know of this is about something else.
            one.heard = stands.seen.event if stands and one.offered is None else one.heard
            one.state, one.since, one.offered = State.OFFERED, now, now
            under_way += 1


def _call_back(going: list[Member], now: float) -> None:
    for one in going:
        if one.state == State.OFFERED:
            one.state, one.since = State.WAITING, now


def _over(made: Rollout, going: list[Member], standing: Mapping[str, Standing]) -> bool:
    for one in going:
        again = one.state == State.FAILED and _finds(made, one)
        # Who is held is let go one day, and goes on then; a pin is for good.
        rule = standing[one.node].rule if one.node in standing else None
        pinned = rule is not None and rule.kind == "pin" and rule.version != made.version
        waits = one.state == State.WAITING and not pinned
        if one.state in UNDER_WAY or again or waits:
            return False
    return True


def _about(made: Rollout, one: Member, seen: Seen, state: State) -> bool:
    """Whether what a node told is about this rollout. A refused envelope has not been read, so its number is not."""
    if seen.sequence == made.sequence:
        return True
    return state == State.FAILED and seen.reason in (NO_ROOT, REFUSED) and one.state == State.OFFERED


def _finds(made: Rollout, one: Member) -> bool:
    """Whether a node finds its envelope: as long as it may need it, also to try again what may work another time."""
    if one.state == State.FAILED:
        return made.status == RUNNING and one.reason not in FINAL and one.failures < made.plan.tries
    return one.state in UNDER_WAY


def _rule(made: Rollout, stands: Standing | Known | None) -> str:
    """Why a node is not offered this release now; "" where nothing is in the way."""
    rule = stands.rule if stands else None
    if rule is None or (rule.kind == "pin" and rule.version == made.version):
        return ""
    said = f" ({rule.why})" if rule.why else ""
    what = "is held" if rule.kind == "hold" else f"is pinned to {rule.version}"
    return f"the {rule.scope} {what}{said}"


def change(book: Book, number: int, status: str, now: float, why: str = "") -> Rollout:
    """Pause, resume or abort a rollout; the next step does what follows from it."""
    made = book.rollout(number)
    allowed = {PAUSED: (RUNNING,), RUNNING: (PAUSED,), ABORTED: (RUNNING, PAUSED)}[status]
    if made.status not in allowed:
        raise UsageError(
            f"rollout {number} is {made.status}", f"only one that is {' or '.join(allowed)} can be {status}"
        )
    made.status, made.why = status, why
    with book.transaction():
        book.keep_rollout(made)
        book.note(number, now, f"{status}: {why}" if why else status)
    return made


def scene(made: Rollout, members: Mapping[str, Member], one: Known | None, now: float) -> Scene:
    """What explains a member's state (member.explain)."""
    full = bool(made.plan.parallel) and sum(m.state in UNDER_WAY for m in members.values()) >= made.plan.parallel
    return Scene(
        made.status, made.stage, len(made.plan.stages), made.emergency or made.plan.open(now), _rule(made, one), full,
        one.seen if one else None, made.plan.tries,
    )  # fmt: skip
