"""What a label looks like: rectangles and texts in millimetres, which `files` writes as SVG, PDF or PNG.

The QR code stands left, as large as the label's height allows with the four modules of quiet zone that ISO/IEC 18004
asks for; the short code and what else people read stand right of it. This is the one module that knows segno.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from citymote.errors import MissingExtra

from .code import Label

QUIET = 4
"""Modules of white around a QR code (ISO/IEC 18004, 9.1)."""
CHARACTER = 0.6
"""Width of a character of the typeface (Courier, or any of equal widths) over its size."""


@dataclass(frozen=True)
class Rectangle:
    """A black one. From the upper left corner, in millimetres."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Text:
    """One line in a typeface of equal widths; x, y is the left end of its baseline, size its height in millimetres."""

    x: float
    y: float
    size: float
    text: str
    bold: bool = False

    @property
    def width(self) -> float:
        """How much room it takes."""
        return len(self.text) * self.size * CHARACTER


@dataclass
class Drawing:
    """A page or a label."""

    width: float
    height: float
    rectangles: list[Rectangle] = field(default_factory=list[Rectangle])
    texts: list[Text] = field(default_factory=list[Text])

    def put(self, other: Drawing, x: float, y: float) -> None:
        """Put another drawing into this one."""
        self.rectangles += [replace(one, x=one.x + x, y=one.y + y) for one in other.rectangles]
        self.texts += [replace(one, x=one.x + x, y=one.y + y) for one in other.texts]


def modules(text: str) -> list[list[bool]]:
    """The QR code of a text, without its quiet zone: rows of dark and light. Error correction M, 15 %."""
    try:
        import segno
    except ImportError:
        raise MissingExtra("segno", "factory", "drawing labels") from None
    made: Any = segno.make_qr(text, error="m", boost_error=True)
    return [[bool(cell) for cell in row] for row in made.matrix]


def draw(label: Label, *, title: str = "", width: float = 50, height: float = 25, margin: float = 1) -> Drawing:
    """One label. `title` is the product's name; it is cut where there is no room for it."""
    drawing = Drawing(width, height)
    rows = modules(label.text())
    side = min(height, width / 2) - 2 * margin
    module = side / (len(rows) + 2 * QUIET)
    top = (height - side) / 2 + QUIET * module
    left = margin + QUIET * module
    for y, row in enumerate(rows):
        drawing.rectangles += [
            Rectangle(left + x * module, top + y * module, length * module, module) for x, length in _runs(row)
        ]
    x = margin + side + margin
    room = width - margin - x
    size = min(room / (len(label.short_code) * CHARACTER), height / 5)
    lines = [(title[: int(room / (size * 0.8 * CHARACTER))], size * 0.8, False)] if title else []
    lines += [(label.short_code, size, True), (f"id {label.node}", size * 0.8, False)]
    lines += [("citymote", size * 0.8, False)]
    y = (height - sum(1.6 * one for _, one, _ in lines)) / 2
    for text, one, bold in lines:
        y += 1.6 * one
        drawing.texts.append(Text(x, y - 0.5 * one, one, text, bold))
    return drawing


def _runs(row: list[bool]) -> list[tuple[int, int]]:
    """(begin, length) of each run of dark modules: one rectangle each, so that no hairline is between them."""
    found: list[tuple[int, int]] = []
    for x, dark in enumerate(row):
        if not dark:
            continue
        if found and sum(found[-1]) == x:
            found[-1] = (found[-1][0], found[-1][1] + 1)
        else:
            found.append((x, 1))
    return found
