"""Xtensa (LX6, LX7; windowed calls), as far as viper uses it: Xtensa ISA reference, chapters 6 and 7."""

from __future__ import annotations

from .core import CODE, HELPER, MASK, STACK, Machine, Step, Unknown, signed

_ALU = {1: "and", 2: "or", 3: "xor", 8: "add", 12: "sub"}
_ZERO = ("beqz", "bnez", "bltz", "bgez")
_TWO = {1: "beq", 2: "blt", 3: "bltu", 9: "bne", 10: "bge", 11: "bgeu"}


class Xtensa(Machine):
    """16 registers of one window; `entry`, `retw` and calls into the runtime keep that one."""

    shift = 0

    def enter(self, arguments: int, count: int, function: int) -> None:
        self.registers[0] = HELPER
        self.registers[1] = STACK
        self.registers[2:6] = [function, count, 0, arguments]

    def decode(self, pc: int) -> tuple[str, Step]:
        at = pc - CODE
        first = self.code[at]
        kind, t = first & 15, first >> 4
        if kind >= 8:
            second = self.code[at + 1]
            return self._narrow(pc, kind, t, second & 15, second >> 4)
        b1, b2 = self.code[at + 1], self.code[at + 2]
        s, r = b1 & 15, b1 >> 4
        if kind == 0:
            return self._register(pc, r, s, t, b2 & 15, b2 >> 4)
        if kind == 1:
            return self._load("l32r", t, None, ((pc + 3) & ~3) + ((b1 | b2 << 8) - 65536) * 4, pc + 3)
        if kind == 2:
            return self._immediate(pc, r, s, t, b2)
        if kind == 6:
            return self._branch(pc, first, r, s, b1, b2)
        if kind == 7 and r in _TWO:
            return self._compare(_TWO[r], s, t, pc + 4 + signed(b2, 8), pc + 3)
        raise Unknown(f"{first:02x} {b1:02x} {b2:02x} at {pc:#x}")

    def _narrow(self, pc: int, kind: int, t: int, s: int, r: int) -> tuple[str, Step]:
        if kind == 8:
            return self._load("l32i", t, s, r * 4, pc + 2)
        if kind == 9:
            return self._store(t, s, r * 4, pc + 2)
        if kind == 10:
            return self._alu("add", r, s, t, pc + 2)
        if kind == 11:
            return self._add_immediate(r, s, t or -1, pc + 2)
        if kind == 12 and t < 8:
            value = r | (t & 7) << 4
            return self._set(s, value - 128 if value >= 96 else value, pc + 2)
        if kind == 12:
            return self._zero(_ZERO[1 if t & 4 else 0], s, pc + 4 + (r | (t & 3) << 4), pc + 2)
        if kind == 13 and r == 0:
            return self._move(t, s, pc + 2)
        if kind == 13 and r == 15 and t == 1:
            return "retw", lambda: HELPER
        raise Unknown(f"narrow {kind} at {pc:#x}")

    def _register(self, pc: int, r: int, s: int, t: int, op1: int, op2: int) -> tuple[str, Step]:
        after, a = pc + 3, self.registers
        if op1 == 0 and op2 == 0 and r == 0 and t == 14:
            return "callx8", lambda: after  # a runtime helper: what is in a10 stays there
        if op1 == 0 and op2 == 0 and r == 0 and t >> 2 == 2:
            return "retw", lambda: HELPER
        if op1 == 0 and op2 in _ALU:
            return self._alu(_ALU[op2], r, s, t, after)
        if op1 == 0 and op2 == 4 and r in (0, 1):

            def amount() -> int:
                self.shift = a[s] & 31 if r == 0 else 32 - (a[s] & 31)
                return after

            return ("ssr", "ssl")[r], amount
        if op1 == 0 and op2 == 6 and s == 0:

            def negate() -> int:
                a[r] = -a[t] & MASK
                return after

            return "neg", negate
        if op1 == 0 and op2 in (9, 10, 11):

            def add_shifted() -> int:
                a[r] = ((a[s] << (op2 - 8)) + a[t]) & MASK
                return after

            return "addx", add_shifted
        if op1 == 1:
            return self._shift(pc, r, s, t, op2)
        if op1 == 2 and op2 == 8:

            def multiply() -> int:
                a[r] = a[s] * a[t] & MASK
                return after

            return "mull", multiply
        if op1 in (4, 5):
            by, mask = (op1 & 1) << 4 | s, (2 << op2) - 1

            def extract() -> int:
                a[r] = a[t] >> by & mask
                return after

            return "extui", extract
        raise Unknown(f"rrr {op1} {op2} at {pc:#x}")

    def _shift(self, pc: int, r: int, s: int, t: int, op2: int) -> tuple[str, Step]:
        after, a = pc + 3, self.registers
        if op2 in (0, 1):
            by = 32 - ((op2 & 1) << 4 | t)

            def slli() -> int:
                a[r] = a[s] << by & MASK
                return after

            return "slli", slli
        if op2 in (2, 3):
            by = (op2 & 1) << 4 | s

            def srai() -> int:
                a[r] = signed(a[t]) >> by & MASK
                return after

            return "srai", srai
        if op2 == 4:

            def srli() -> int:
                a[r] = a[t] >> s
                return after

            return "srli", srli
        if op2 == 9:

            def srl() -> int:
                a[r] = a[t] >> self.shift
                return after

            return "srl", srl
        if op2 == 10:

            def sll() -> int:
                a[r] = a[s] << (32 - self.shift) & MASK
                return after

            return "sll", sll
        if op2 == 11:

            def sra() -> int:
                a[r] = signed(a[t]) >> self.shift & MASK
                return after

            return "sra", sra
        raise Unknown(f"shift {op2} at {pc:#x}")

    def _immediate(self, pc: int, r: int, s: int, t: int, b2: int) -> tuple[str, Step]:
        if r == 1:
            a, load16 = self.registers, self.load16

            def half() -> int:
                a[t] = load16((a[s] + b2 * 2) & MASK)
                return pc + 3

            return "l16ui", half
        if r == 2:
            return self._load("l32i", t, s, b2 * 4, pc + 3)
        if r == 6:
            return self._store(t, s, b2 * 4, pc + 3)
        if r == 10:
            return self._set(t, signed(b2 | s << 8, 12), pc + 3)
        if r in (12, 13):
            return self._add_immediate(t, s, signed(b2, 8) << (8 if r == 13 else 0), pc + 3)
        raise Unknown(f"rri8 {r} at {pc:#x}")

    def _branch(self, pc: int, first: int, r: int, s: int, b1: int, b2: int) -> tuple[str, Step]:
        n, m = first >> 4 & 3, first >> 6
        if n == 0:
            target = pc + 4 + signed(first >> 6 | b1 << 2 | b2 << 10, 18)
            return "j", lambda: target
        if n == 1:
            return self._zero(_ZERO[m], s, pc + 4 + signed(r | b2 << 4, 12), pc + 3)
        if n == 3 and m == 0:
            after, frame, a = pc + 3, (b1 >> 4 | b2 << 4) << 3, self.registers

            def entry() -> int:
                a[1] -= frame
                return after

            return "entry", entry
        raise Unknown(f"branch {n} {m} at {pc:#x}")

    def _load(self, name: str, into: int, base: int | None, offset: int, after: int) -> tuple[str, Step]:
        a, load = self.registers, self.load

        def step() -> int:
            a[into] = load((a[base] + offset) & MASK if base is not None else offset)
            return after

        return name, step

    def _store(self, what: int, base: int, offset: int, after: int) -> tuple[str, Step]:
        a, store = self.registers, self.store

        def step() -> int:
            store((a[base] + offset) & MASK, a[what])
            return after

        return "s32i", step

    def _alu(self, name: str, into: int, x: int, y: int, after: int) -> tuple[str, Step]:
        a = self.registers
        operation = {
            "and": lambda: a[x] & a[y],
            "or": lambda: a[x] | a[y],
            "xor": lambda: a[x] ^ a[y],
            "add": lambda: a[x] + a[y],
            "sub": lambda: a[x] - a[y],
        }[name]

        def step() -> int:
            a[into] = operation() & MASK
            return after

        return name, step

    def _add_immediate(self, into: int, x: int, value: int, after: int) -> tuple[str, Step]:
        a = self.registers

        def step() -> int:
            a[into] = (a[x] + value) & MASK
            return after

        return "addi", step

    def _set(self, into: int, value: int, after: int) -> tuple[str, Step]:
        a, value = self.registers, value & MASK

        def step() -> int:
            a[into] = value
            return after

        return "movi", step

    def _move(self, into: int, x: int, after: int) -> tuple[str, Step]:
        a = self.registers

        def step() -> int:
            a[into] = a[x]
            return after

        return "mov", step

    def _zero(self, name: str, x: int, target: int, after: int) -> tuple[str, Step]:
        a = self.registers
        condition = {
            "beqz": lambda: a[x] == 0,
            "bnez": lambda: a[x] != 0,
            "bltz": lambda: a[x] >> 31 == 1,
            "bgez": lambda: a[x] >> 31 == 0,
        }[name]
        return name, lambda: target if condition() else after

    def _compare(self, name: str, x: int, y: int, target: int, after: int) -> tuple[str, Step]:
        a = self.registers
        condition = {
            "beq": lambda: a[x] == a[y],
            "bne": lambda: a[x] != a[y],
            "blt": lambda: signed(a[x]) < signed(a[y]),
            "bge": lambda: signed(a[x]) >= signed(a[y]),
            "bltu": lambda: a[x] < a[y],
            "bgeu": lambda: a[x] >= a[y],
        }[name]
        return name, lambda: target if condition() else after
