"""What a driver raises when a chip answers, but not with a reading.

The codes are the registry's quality codes (citymote_protocol/quality.py; a test holds them equal). They are repeated
here so that a driver can be used without the rest of the node.
"""

OK = 0  # unchecked: the chip gave it, nobody has judged it yet
REJECTED = 1
LIKELY_INVALID = 2
SUSPICIOUS = 3
NO_ANSWER = 8
BAD_CHECKSUM = 9
WARMING_UP = 10
OUT_OF_RANGE = 11
WRONG_CHIP = 12
SHORT_READ = 13
STUCK_BUS = 14
FROZEN = 15
SATURATED = 16


class Fault(Exception):
    """A chip's failure as a quality code for its readings, with a sentence for the log."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code
        self.text = text
