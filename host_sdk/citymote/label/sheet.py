"""Many labels on sheets of label paper: where each one goes. The measures are the paper makers'.

A sheet that was begun is used up: `skip` leaves out the places that are gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from citymote.errors import UsageError

from .code import Label
from .drawing import Drawing, draw


@dataclass(frozen=True)
class Sheet:
    """A sheet of labels, in millimetres: the page, a label, how many, and where the first one is and the next ones."""

    width: float
    height: float
    label_width: float
    label_height: float
    columns: int
    rows: int
    left: float
    top: float
    across: float
    """From one label's left edge to the next one's."""
    down: float

    @property
    def places(self) -> int:
        """Labels on one sheet."""
        return self.columns * self.rows


SHEETS = {
    "a4-24": Sheet(210, 297, 70, 36, 3, 8, 0, 4.5, 70, 36),  # 70 x 36 mm, as Avery 3490
    "a4-21": Sheet(210, 297, 63.5, 38.1, 3, 7, 7.25, 15.15, 66.0, 38.1),  # as Avery L7160
    "a4-65": Sheet(210, 297, 38.1, 21.2, 5, 13, 4.75, 10.7, 40.6, 21.2),  # as Avery L7651
    "letter-30": Sheet(215.9, 279.4, 66.7, 25.4, 3, 10, 4.8, 12.7, 69.8, 25.4),  # 1 x 2 5/8 inch, as Avery 5160
}


def sheets(labels: Sequence[tuple[Label, str]], paper: str = "a4-24", *, skip: int = 0) -> list[Drawing]:
    """Pages with these (label, title), in order."""
    if paper not in SHEETS:
        raise UsageError(f"no paper {paper!r}", f"known are {', '.join(SHEETS)}")
    sheet = SHEETS[paper]
    if not 0 <= skip < sheet.places:
        raise UsageError(f"{skip} places cannot be skipped", f"the sheet has {sheet.places}")
    pages: list[Drawing] = []
    for place, (label, title) in enumerate(labels, skip):
        if not pages or place % sheet.places == 0:
            pages.append(Drawing(sheet.width, sheet.height))
        row, column = divmod(place % sheet.places, sheet.columns)
        one = draw(label, title=title, width=sheet.label_width, height=sheet.label_height, margin=2)
        pages[-1].put(one, sheet.left + column * sheet.across, sheet.top + row * sheet.down)
    return pages
