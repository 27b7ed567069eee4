"""Runs in an environment of its own, because zcbor needs cbor2 < 6: which of the inputs does the grammar allow?

`python zcbor_check.py FILE.cddl RULE < hex-lines`: one line of output a line of input, "yes" or "no". What zcbor raises
for a bad input is not always its own error (a bare StopIteration, for one), so anything raised is a no.
"""

import contextlib
import io
import sys
from pathlib import Path

from zcbor import DataTranslator  # type: ignore[import-not-found]

MOST = 16  # what an unbounded repetition may have


def main() -> None:
    grammar = DataTranslator.from_cddl(Path(sys.argv[1]).read_text(encoding="utf-8"), MOST).my_types[sys.argv[2]]
    for line in sys.stdin:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            try:
                grammar.validate_str(bytes.fromhex(line.strip()))
                answer = "yes"
            except Exception:  # noqa: BLE001
                answer = "no"
        sys.stdout.write(answer + "\n")


main()
