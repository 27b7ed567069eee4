"""A node's label: what its QR code and its short code say, and how they are read back (SPEC, chapter 11).

    label = Label(public_key, claim_secret)
    label.node              # "0123456789ab"
    label.short_code        # "014D2-PF2DB-A", for people
    label.text()            # "CM1:...", what the QR code says: a secret until the node has an owner
    Label.parse(text)       # the same label; LabelError says what is wrong with the text
    load(path)              # every label in an image or a text file (images: extra "factory")

Drawing labels is `label.drawing` and `label.sheet`. The claim secret is in no `repr`, log or error text.
"""

from __future__ import annotations

from .code import Label, LabelError, is_payload, node_of_short_code, short_code
from .drawing import Drawing, draw
from .files import Graphic, load, write
from .sheet import SHEETS, Sheet, sheets

__all__ = [
    "SHEETS",
    "Drawing",
    "Graphic",
    "Label",
    "LabelError",
    "Sheet",
    "draw",
    "is_payload",
    "load",
    "node_of_short_code",
    "sheets",
    "short_code",
    "write",
]
