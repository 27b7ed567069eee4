"""RV32IMC, as far as viper uses it (no CSRs, no atomics): RISC-V unprivileged specification, chapters RV32I, M, C."""

from __future__ import annotations

from collections.abc import Callable

from .core import HELPER, MASK, STACK, Machine, Step, Unknown, signed

_BRANCH = {0: "beq", 1: "bne", 4: "blt", 5: "bge", 6: "bltu", 7: "bgeu"}
_OPERATION: dict[str, Callable[[int, int], int]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "sll": lambda x, y: x << (y & 31),
    "slt": lambda x, y: int(signed(x) < signed(y)),
    "sltu": lambda x, y: int(x < y),
    "xor": lambda x, y: x ^ y,
    "srl": lambda x, y: x >> (y & 31),
    "sra": lambda x, y: signed(x) >> (y & 31),
    "or": lambda x, y: x | y,
    "and": lambda x, y: x & y,
    "mul": lambda x, y: x * y,
    "mulh": lambda x, y: signed(x) * signed(y) >> 32,
}
_BY_FUNCT3 = ("add", "sll", "slt", "sltu", "xor", "srl", "or", "and")


class RiscV(Machine):
    """32 registers; x0 is made zero again wherever an instruction could have written it."""

    def enter(self, arguments: int, count: int, function: int) -> None:
        x = self.registers
        x[1], x[2] = HELPER, STACK
        x[10:14] = [function, count, 0, arguments]

    def decode(self, pc: int) -> tuple[str, Step]:
        low = self.halfword(pc)
        if low & 3 != 3:
            return self._compressed(pc, low)
        word = low | self.halfword(pc + 2) << 16
        opcode, rd, f3 = word & 0x7F, word >> 7 & 31, word >> 12 & 7
        rs1, rs2, f7 = word >> 15 & 31, word >> 20 & 31, word >> 25
        after = pc + 4
        if opcode == 0x37:
            return self._set("lui", rd, word & 0xFFFFF000, after)
        if opcode == 0x17:
            return self._set("auipc", rd, pc + (word & 0xFFFFF000), after)
        if opcode == 0x6F:
            offset = signed(
                (word >> 31) << 20 | (word >> 12 & 0xFF) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 0x3FF) << 1, 21
            )
            return self._jump("jal", rd, pc + offset, after)
        if opcode == 0x67:
            return self._jump_register("jalr", rd, rs1, signed(word >> 20, 12), after)
        if opcode == 0x63 and f3 in _BRANCH:
            offset = signed(
                (word >> 31) << 12 | (word >> 7 & 1) << 11 | (word >> 25 & 0x3F) << 5 | (word >> 8 & 15) << 1, 13
            )
            return self._branch(_BRANCH[f3], rs1, rs2, pc + offset, after)
        if opcode == 0x03 and f3 == 2:
            return self._load("lw", rd, rs1, signed(word >> 20, 12), after)
        if opcode == 0x03 and f3 == 5:
            x, offset, load16 = self.registers, signed(word >> 20, 12), self.load16

            def half() -> int:
                x[rd] = load16((x[rs1] + offset) & MASK)
                return after

            return "lhu", half
        if opcode == 0x23 and f3 == 2:
            return self._store("sw", rs2, rs1, signed(f7 << 5 | rd, 12), after)
        if opcode == 0x13:
            if f3 in (1, 5):
                name = "sll" if f3 == 1 else "sra" if f7 == 0x20 else "srl"
                return self._immediate(name + "i", name, rd, rs1, rs2, after)
            name = _BY_FUNCT3[f3]
            return self._immediate(name + "i", name, rd, rs1, signed(word >> 20, 12), after)
        if opcode == 0x33:
            if f7 == 1 and f3 in (0, 1):
                name = ("mul", "mulh")[f3]
            elif f7 == 0x20:
                name = {0: "sub", 5: "sra"}[f3]
            elif f7 == 0:
                name = _BY_FUNCT3[f3]
            else:
                raise Unknown(f"{word:08x} at {pc:#x}")
            return self._register(name, name, rd, rs1, rs2, after)
        raise Unknown(f"{word:08x} at {pc:#x}")

    def _compressed(self, pc: int, w: int) -> tuple[str, Step]:
        # The C extension, quadrant by quadrant; registers of three bits are x8 to x15.
        after, f3 = pc + 2, w >> 13
        rd, rs2, rd_, rs1_ = w >> 7 & 31, w >> 2 & 31, 8 + (w >> 2 & 7), 8 + (w >> 7 & 7)
        six = signed((w >> 12 & 1) << 5 | w >> 2 & 31, 6)
        word_offset = (w >> 10 & 7) << 3 | (w >> 6 & 1) << 2 | (w >> 5 & 1) << 6
        match w & 3, f3:
            case 0, 0 if w:
                offset = (w >> 11 & 3) << 4 | (w >> 7 & 15) << 6 | (w >> 6 & 1) << 2 | (w >> 5 & 1) << 3
                return self._immediate("c.addi4spn", "add", rd_, 2, offset, after)
            case 0, 2:
                return self._load("c.lw", rd_, rs1_, word_offset, after)
            case 0, 6:
                return self._store("c.sw", rd_, rs1_, word_offset, after)
            case 1, 0:
                return self._immediate("c.addi", "add", rd, rd, six, after)
            case 1, 2:
                return self._set("c.li", rd, six, after)
            case 1, 3 if rd == 2:
                bits = (
                    (w >> 12 & 1) << 9 | (w >> 6 & 1) << 4 | (w >> 5 & 1) << 6 | (w >> 3 & 3) << 7 | (w >> 2 & 1) << 5
                )
                return self._immediate("c.addi16sp", "add", 2, 2, signed(bits, 10), after)
            case 1, 3:
                return self._set("c.lui", rd, six << 12, after)
            case 1, 4:
                return self._compressed_alu(pc, w, rs1_, rd_, six)
            case 1, (1 | 5):
                bits = (
                    (w >> 12 & 1) << 11 | (w >> 11 & 1) << 4 | (w >> 9 & 3) << 8 | (w >> 8 & 1) << 10
                    | (w >> 7 & 1) << 6 | (w >> 6 & 1) << 7 | (w >> 3 & 7) << 1 | (w >> 2 & 1) << 5
                )  # fmt: skip
                return self._jump("c.j", 1 if f3 == 1 else 0, pc + signed(bits, 12), after)
            case 1, (6 | 7):
                bits = (
                    (w >> 12 & 1) << 8 | (w >> 10 & 3) << 3 | (w >> 5 & 3) << 6 | (w >> 3 & 3) << 1 | (w >> 2 & 1) << 5
                )
                return self._branch("beq" if f3 == 6 else "bne", rs1_, 0, pc + signed(bits, 9), after)
            case 2, 0:
                return self._immediate("c.slli", "sll", rd, rd, six & 31, after)
            case 2, 2:
                offset = (w >> 12 & 1) << 5 | (w >> 4 & 7) << 2 | (w >> 2 & 3) << 6
                return self._load("c.lwsp", rd, 2, offset, after)
            case 2, 6:
                return self._store("c.swsp", rs2, 2, (w >> 9 & 15) << 2 | (w >> 7 & 3) << 6, after)
            case 2, 4 if rs2 == 0:
                return self._jump_register("c.jr", w >> 12 & 1, rd, 0, after)
            case 2, 4 if w >> 12 & 1:
                return self._register("c.add", "add", rd, rd, rs2, after)
            case 2, 4:
                return self._register("c.mv", "add", rd, 0, rs2, after)
            case _:
                raise Unknown(f"{w:04x} at {pc:#x}")

    def _compressed_alu(self, pc: int, w: int, rd: int, rs2: int, six: int) -> tuple[str, Step]:
        kind = w >> 10 & 3
        if kind < 3:
            name = ("srl", "sra", "and")[kind]
            return self._immediate("c." + name + "i", name, rd, rd, six & 31 if kind < 2 else six, pc + 2)
        name = ("sub", "xor", "or", "and")[w >> 5 & 3]
        return self._register("c." + name, name, rd, rd, rs2, pc + 2)

    def _set(self, name: str, rd: int, value: int, after: int) -> tuple[str, Step]:
        x, value = self.registers, value & MASK

        def step() -> int:
            x[rd] = value
            return after

        return name, step

    def _immediate(self, name: str, operation: str, rd: int, rs: int, value: int, after: int) -> tuple[str, Step]:
        x, do, value = self.registers, _OPERATION[operation], value & MASK

        def step() -> int:
            x[rd] = do(x[rs], value) & MASK
            x[0] = 0
            return after

        return name, step

    def _register(self, name: str, operation: str, rd: int, a: int, b: int, after: int) -> tuple[str, Step]:
        x, do = self.registers, _OPERATION[operation]

        def step() -> int:
            x[rd] = do(x[a], x[b]) & MASK
            x[0] = 0
            return after

        return name, step

    def _load(self, name: str, rd: int, base: int, offset: int, after: int) -> tuple[str, Step]:
        x, load = self.registers, self.load

        def step() -> int:
            x[rd] = load((x[base] + offset) & MASK)
            return after

        return name, step

    def _store(self, name: str, what: int, base: int, offset: int, after: int) -> tuple[str, Step]:
        x, store = self.registers, self.store

        def step() -> int:
            store((x[base] + offset) & MASK, x[what])
            return after

        return name, step

    def _branch(self, name: str, a: int, b: int, target: int, after: int) -> tuple[str, Step]:
        x = self.registers
        condition = {
            "beq": lambda: x[a] == x[b],
            "bne": lambda: x[a] != x[b],
            "blt": lambda: signed(x[a]) < signed(x[b]),
            "bge": lambda: signed(x[a]) >= signed(x[b]),
            "bltu": lambda: x[a] < x[b],
            "bgeu": lambda: x[a] >= x[b],
        }[name]
        return name, lambda: target if condition() else after

    def _jump(self, name: str, rd: int, target: int, after: int) -> tuple[str, Step]:
        x = self.registers

        def step() -> int:
            x[rd] = after
            x[0] = 0
            return target

        return name, step

    def _jump_register(self, name: str, rd: int, rs: int, offset: int, after: int) -> tuple[str, Step]:
        x = self.registers

        def step() -> int:
            target = (x[rs] + offset) & MASK & ~1
            if target == HELPER and rd:
                return after  # a runtime helper: what is in a0 stays there
            x[rd] = after
            x[0] = 0
            return target

        return name, step
