"""Where boards are: those that citymote brings along, and the user's own, which need no checkout.

A board is named by its folder's name or by a path. Names are looked up in the folders of `$CITYMOTE_BOARDS` (as in
PATH, the first that has it wins), then in the user's own folder (`$XDG_CONFIG_HOME/citymote/boards`, usually
~/.config/citymote/boards), then among those that come along; so a workshop can keep its own variant of a known board
under the known name, and `boards list` shows where each one lies.
"""

from __future__ import annotations

import os
from pathlib import Path

from citymote import resources

from .toml import BoardError

PATH_VARIABLE = "CITYMOTE_BOARDS"
FILE = "board.toml"


def own() -> Path:
    """The user's folder of boards, which need not exist."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "citymote" / "boards"


def folders() -> list[Path]:
    """Every folder in which names are looked up, in that order."""
    named = [Path(part) for part in os.environ.get(PATH_VARIABLE, "").split(os.pathsep) if part]
    return [*named, own(), resources.boards()]


def names() -> list[str]:
    """Every board that has a name here."""
    return sorted({path.parent.name for folder in folders() for path in folder.glob(f"*/{FILE}")})


def find(board: str | Path) -> Path:
    """The board.toml of a board, by name, or by the path of that file or of its folder."""
    if isinstance(board, Path) or "/" in board or os.sep in board:
        path = Path(board)
        path = path / FILE if path.is_dir() else path
        if path.is_file():
            return path
    else:
        for folder in folders():
            path = folder / board / FILE
            if path.is_file():
                return path
    raise BoardError(
        f"there is no board {board}",
        f"known are {', '.join(names())}",
        f"A board of your own is named by the path of its folder, or lies in a folder that ${PATH_VARIABLE} names.",
    )
