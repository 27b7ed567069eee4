"""Boards are data: one folder a board, checked against its chip before a node has to live with it.

    boards.names()                 # what citymote brings along, and what the user has
    boards.load("xiao-esp32c3")    # the board.json of a node; BoardError says what is wrong, and where
    boards.describe("my/board")    # all of the description, for a workshop
    boards.check("my/board")       # everything that is wrong or doubtful about its pins, with reasons

What the keys of a board.toml mean is in docs/add-a-board.md.
"""

from __future__ import annotations

from .adding import add
from .chips import Chip, chip
from .chips import names as chips
from .description import Description, SelfTest, check, describe, load, make
from .pins import ERROR, WARNING, Finding
from .places import PATH_VARIABLE, find, names
from .toml import BoardError
from .wires import Wire, wires

__all__ = [
    "ERROR",
    "PATH_VARIABLE",
    "WARNING",
    "BoardError",
    "Chip",
    "Description",
    "Finding",
    "SelfTest",
    "Wire",
    "add",
    "check",
    "chip",
    "chips",
    "describe",
    "find",
    "load",
    "make",
    "names",
    "wires",
]
