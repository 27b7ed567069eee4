"""Corrected columns beside the raw ones: what the board description asks for, by the formulas that the host has too.

Loaded only where a board asks. Raw readings stay as they are; a corrected one is computed from its row's integers by
`citymote_protocol.corrections`, and bears the worst that is said about any of them. Where an input is absent, so is
the corrected reading, with that input's reason.
"""

from citymote_protocol import corrections, quantities

from .journal import ERROR
from .plausibility import ACCEPTED, LIKELY_INVALID, limits

_NO_ANSWER = 8
_OUT_OF_RANGE = 11


def _gravity(code):
    """Accepted, unchecked, suspicious, likely invalid, rejected, then the reasons."""
    return code if code > ACCEPTED else b"\x01\x04\x03\x02\x00"[code]


def worst(one, other):
    """The graver of two quality codes."""
    return one if _gravity(one) > _gravity(other) else other


class Corrector:
    """Fills in the corrected columns of rows; `columns` are those, `facts` what the descriptor says of them."""

    def __init__(self, wanted, raw, site, log):
        """`wanted` are names or ids, `raw` the columns that sensors fill, `site` what no sensor has to measure."""
        self._raw = raw
        self._site = {}
        for name in site:
            quantity = quantities.by_name(name)
            if quantity is not None:
                # a decimal number of the board description, once; everything after it is integers
                self._site[quantity] = round(site[name] * 10 ** (quantities.decimals(quantity) or 0))
        self.columns = []
        self.facts = []
        self._sources = []
        self._plan = ()
        for item in wanted:
            quantity = quantities.by_name(item) if isinstance(item, str) else item
            inputs = None if quantity is None else corrections.needs(quantity)
            instances = [column[1] for column in raw if inputs and column[0] == inputs[0]]
            missing = [need for need in inputs or () if self._source(need, 0) is None and need not in self._site]
            if not instances or missing:
                log(
                    ERROR, "correction %s: %s" % (item, "no sensor gives what it needs" if inputs else "not known here")
                )
                continue
            for entry in corrections.CORRECTIONS:
                if entry[0] == quantity:
                    self.facts.append((quantity, entry[1], int(entry[2])))
            for instance in instances:
                if (quantity, instance) not in raw:
                    self.columns.append((quantity, instance))
                    self._sources.append([self._source(need, instance) or need for need in inputs])

    def _source(self, quantity, instance):
        # The column of that instance, else of the first sensor that has the quantity; None where none has.
        for column in [(quantity, instance)] + sorted(c for c in self._raw if c[0] == quantity):
            if column in self._raw:
                return column
        return None

    def place(self, columns):
        """Rows will have these columns, in this order."""
        self._plan = [
            (
                columns.index(column),
                column[0],
                [columns.index(source) if type(source) is tuple else -source for source in sources],
            )
            for column, sources in zip(self.columns, self._sources)
        ]

    def __call__(self, values, quality):
        """Fill in the corrected columns of a row whose raw ones are judged."""
        for at, quantity, sources in self._plan:
            inputs = []
            code = ACCEPTED
            absent = None
            for source in sources:
                if source < 0:
                    inputs.append(self._site[-source])
                    continue
                value = values[source]
                inputs.append(value)
                code = worst(code, quality[source])
                if value is None and absent is None:
                    absent = quality[source] or _NO_ANSWER
            value = corrections.correct(quantity, inputs)
            if value is None:
                code = _OUT_OF_RANGE if absent is None else absent
            else:
                low_high = limits(quantity)
                if low_high and not low_high[0] <= value <= low_high[1]:
                    code = worst(code, LIKELY_INVALID)
            values[at] = value
            quality[at] = code
