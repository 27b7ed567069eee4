"""Names for the linked application: which attributes may have another one, and names that cost a node nothing.

Every distinct name takes its letters and some ten bytes of a node's heap, unless it is in the table that is part of
MicroPython itself. ROM lists words of that table which every image of ours has (the interpreter's own, its modules'
and asyncio's). A method or attribute gets one of them over the whole program, and shares it with attributes of classes
that are no relatives of its own; it keeps its name where somebody may reach it by a text, and where it belongs to
hardware, drivers or somebody else's objects.
"""

from __future__ import annotations

import ast
import builtins
import keyword
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from .trees import walk

if TYPE_CHECKING:
    from .layout import Layout
    from .program import Program

# Words of MicroPython's table: of py/, the modules that every port with a network has, and asyncio, which is frozen
# into the images. A test asks a VM for them.
_WORDS = """
    a2b_base64 abs abs_tol accept aclose acos acosh acquire add addr addressof aes all allocate_lock any append
    appendleft args argv array ascii asin asinh asyncio atan atan2 atanh atexit attr aw awrite awritestr b2a_base64
    backlog bin binascii bind bool bound_method buf buffer buffering builtins bytearray bytearray_at bytecode
    byteorder bytes bytes_at calcsize call_exception_handler callable callback cancel cb ceil center chdir choice
    chr cipher classmethod clear close closure cmath code collect collections compile complex connect const context
    copy copysign core coro cos cosh count crc32 create_task cryptolib cur_task current_task data decode decrypt
    default default_exception_handler deflate degrees delattr deleter deque dict dict_view difference
    difference_update digest dir disable discard divmod do_handshake_on_connect doc done drain dump dumps e enable
    encode encoding encrypt end endswith enumerate er erf erfc errno errorcode eval event exc exc_info exc_type
    exception exec execfile executable exit exp expm1 extend fabs factorial file fileno filter find flags float
    floor flush fmod format frexp from_bytes fromhex fromkeys frozenset funcs function future gamma gather gc
    generator get get_ciphers get_event_loop get_exception_handler get_extra_info get_ident getaddrinfo getattr
    getcwd getpeercert getrandbits getter getvalue globals gmtime group handler hasattr hash hashlib head heap_lock
    heap_unlock heapify heappop heappush heapq help hex hexlify host id idx ilistdir imag implementation index
    indices inf input insert int intersection intersection_update io ioctl ipoll is_set isalpha isclose isdigit
    isdisjoint isenabled isfinite isinf isinstance islower isnan isspace issubclass issubset issuperset isupper
    items iter iterable iterator join json kbd_intr keepends key keys ldexp len lgamma line list listdir listen
    little load load_cert_chain load_verify_locations loads locals localtime lock locked log log10 log2 lookahead
    loop lower lstrip machine main_task makefile map match math max maxsize md5 mem_alloc mem_free mem_info
    mem_total memoryview message micropython min mkdir mkfs mktime modf modify module modules mount mtime name
    namedtuple nan native new_event_loop newline next object oct off on open open_connection opt_level ord os
    out_buf pack pack_into partition path peek peername pend_throw ph_key phase pi platform polar poll poller pop
    popitem popleft port pow print print_exception progsize property ptr ptr16 ptr32 ptr8 push put qstr_info
    queue_read queue_write r radians randint random randrange range rb re read readblocks readexactly readinto
    readline readlines readonly readsize real rect recv recv_into recvfrom register rel_tol release remove rename
    replace repr req requests return_exceptions reverse reversed rfind rindex rmdir round rpartition rsplit rstrip
    run run_forever run_until_complete runq_len s schedule search seed seek select self send sendall sendto sep
    separators server_hostname server_side set set_ciphers set_exception_handler setattr setblocking setdefault
    setsockopt setter settimeout sgen sha1 sha256 sin single sinh sizeof sleep sleep_ms sleep_us slice socket sort
    sorted split splitlines sqrt src ssl stack_size stack_use start start_new_thread start_server startswith stat
    state staticmethod statvfs stderr stdin stdout step stop str stream stream_awrite strip struct sub sum super
    symmetric_difference symmetric_difference_update sync sys tan tanh target task tau tb tell threshold throw ticks
    ticks_add ticks_cpu ticks_diff ticks_ms ticks_us time time_ns timeout tls to_bytes trunc tuple type uctypes uint
    umount unhexlify uniform union unlink unpack unpack_from unregister update upper urandom v value values
    verify_callback verify_mode version version_info vfs viper wait wait_closed wait_for wait_for_ms wait_io_event
    waiter waiting waitq_len wrap_socket write writeblocks zip
    """
TABLE = frozenset(_WORDS.split())
_BUILT_IN = {*dir(builtins), *keyword.kwlist}
# What ours may be called: not as a builtin is, and not as what somebody's objects are asked for all over the place.
_SAID_OFTEN = "append write read close send throw value args errno code name text get pop set main self start run"
_LEFT = set(_SAID_OFTEN.split())
_FOLDED = {"const"}  # the compiler takes a call of it for a constant
ROM = tuple(
    word for word in sorted(TABLE, key=lambda word: (len(word), word)) if word not in _BUILT_IN | _LEFT | _FOLDED
)
# What private names may be called in files that are not linked: all but what MicroPython asks streams and devices for.
_STREAMS = {"flush", "ioctl", "read", "readblocks", "readinto", "readline", "seek", "write", "writeblocks"}
PRIVATE = tuple(word for word in ROM if word not in _STREAMS)
# What arguments are called that are only ever passed by position.
ARGUMENTS = [
    word for word in ROM if len(word) <= 3 and word not in ("io", "gc", "os", "sys", "re", "aes", "tls", "vfs")
]
_REACHES = ("getattr", "setattr", "hasattr", "delattr")


def said(trees: Iterable[ast.Module]) -> set[str]:
    """Attribute names that stand in texts by which an attribute may be reached."""
    found: set[str] = set()
    for tree in trees:
        loose = False
        for node in walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _REACHES:
                name = node.args[1]
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    found.add(name.value)
                else:
                    loose = True
        if loose:
            found |= {
                node.value for node in walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
            }
    return found


def attributes(program: Program, trees: Iterable[ast.AST], layout: Layout) -> dict[str, str]:
    """Old name -> new one for every attribute that may be renamed."""
    trees = list(trees)
    families = _families(program)
    members: defaultdict[str, set[int]] = defaultdict(set)  # name -> families that have it
    for number, family in enumerate(families):
        for name in family:
            members[name].add(number)
    kept = _kept(program, layout)
    count: Counter[str] = Counter()
    for tree in trees:
        for node in walk(tree):
            if isinstance(node, ast.Attribute):
                count[node.attr] += 1
    outside = _set_from_outside(trees, members)
    wanted = [
        name
        for name in members
        if name not in kept and name not in TABLE and not (name.startswith("__") and name.endswith("__"))
    ]
    used: defaultdict[int, set[str]] = defaultdict(set)  # family -> names taken in it
    for name, numbers in members.items():
        if name not in wanted:
            for number in numbers:
                used[number].add(name)
    everywhere = {name for name in outside if name not in members}
    new: dict[str, str] = {}
    targets = [name for name in ROM if name not in kept]
    for name in sorted(wanted, key=lambda n: (-count[n], n)):
        for target in targets:
            if target not in everywhere and not any(target in used[number] for number in members[name]):
                break
        else:
            continue
        new[name] = target
        for number in members[name]:
            used[number].add(target)
    return new


def _families(program: Program) -> list[set[str]]:
    """The attributes of each group of classes that are derived from each other."""
    own: dict[str, set[str]] = {}
    parent: dict[str, str] = {}

    def root(mark: str) -> str:
        while parent[mark] != mark:
            mark = parent[mark]
        return mark

    classes = {s.mark: s.node for s in program.symbols.values() if isinstance(s.node, ast.ClassDef)}
    for mark, node in classes.items():
        parent[mark] = mark
        own[mark] = set(_members(node))
    for symbol in program.symbols.values():  # methods that have left their class
        if "." in symbol.name:
            owner = program.modules[symbol.module].symbols[symbol.name.split(".")[0]]
            own[owner.mark] |= set(_members(symbol.node))
            own[owner.mark].add(symbol.name.split(".")[1])
    for mark, node in classes.items():
        for base in node.bases:
            if isinstance(base, ast.Name) and base.id in classes:
                parent[root(mark)] = root(base.id)
    groups: defaultdict[str, set[str]] = defaultdict(set)
    for mark, names in own.items():
        groups[root(mark)] |= names
    return list(groups.values())


def _members(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ClassDef):
        for child in node.body:
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                yield child.name
            elif isinstance(child, ast.Assign):
                yield from (n.id for target in child.targets for n in walk(target) if isinstance(n, ast.Name))
                yield from (str(slot.value) for slot in _slots(child))  # what others give to its objects
    for child in walk(node):
        if isinstance(child, ast.Attribute) and isinstance(child.value, ast.Name) and child.value.id == "self":
            yield child.attr


def _slots(node: ast.AST) -> list[ast.Constant]:
    """The names in `__slots__ = (...)`."""
    if not isinstance(node, ast.Assign) or "__slots__" not in [ast.unparse(n) for n in node.targets]:
        return []
    return [n for n in walk(node.value) if isinstance(n, ast.Constant)]


def rename_slots(trees: Iterable[ast.AST], new: Mapping[str, str]) -> None:
    """A class's slots are called as its attributes are."""
    for tree in trees:
        for node in walk(tree):
            for slot in _slots(node):
                slot.value = new.get(str(slot.value), slot.value)


def _set_from_outside(trees: Iterable[ast.AST], members: Mapping[str, set[int]]) -> set[str]:
    """Attributes that somebody gives to an object of which the class is not seen."""
    return {
        node.attr
        for tree in trees
        for node in walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and node.attr not in members
    }


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _kept(program: Program, layout: Layout) -> set[str]:
    """What has to keep its name."""
    found = set(layout.attributes) | said(module.tree for module in program.modules.values())
    for module in program.modules.values():
        if module.raw:
            own = {n.name for n in walk(module.tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
            found |= {name for name in own if not _is_private(name)}
            own |= {n.attr for n in walk(module.tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store)}
            used = {node.attr for node in walk(module.tree) if isinstance(node, ast.Attribute)}
            found |= {name for name in used if not (name in own and _is_private(name))}
            continue
        foreign = set(module.foreign)
        for node in walk(module.tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in foreign:
                found.add(node.attr)
    for name in program.by_name:
        found |= set(program.modules[name].symbols)
    return found
