"""Every size that a peer can ask for, and where the number comes from.

A decoder compares with these before it takes memory; an encoder refuses to exceed them.  They are part of the
specification (SPEC chapter 9): raising one is a new minor version, lowering one a new major version.
"""

VERSION = 1  # major: the meaning of the header
MINOR = 0  # minor: optional fields and registry entries that older decoders pass over

MAX_FRAME = 8192  # bytes; 64 columns of 60 rows at two bytes; what a node can hold beside its application
MAX_COLUMNS = 64  # S-DoT has 20 quantities, a third-octave meter 33 bands beside them
MAX_COUNT = 255  # rows; 8.5 hours at two minutes; the count stays one byte
MAX_RUNS = 1024  # quality runs; one for each reading of 64 columns x 16 rows, at 4 bytes and more each
MAX_OPTIONS = 16  # optional fields behind a frame
MAX_DEPTH = 4  # nesting inside an optional field; descriptors need three
MAX_TEXT = 64  # bytes; a serial number, a version, a name on a label
MAX_BYTES = 255  # a byte string in a place that names no limit of its own
MAX_SENSORS = 32  # chips on one node: two I2C buses of eight, UARTs, inputs
MAX_CORRECTIONS = 16

MAX_EPOCH = 0xFFFFFFFF  # a store is made anew a few times in a life, but a random epoch must fit
MAX_SEQ = 0xFFFFFFFF  # a frame a second for 136 years
MAX_TIME = 0xFFFFFFFF  # seconds since 2000: until 2136-02-07
MAX_INTERVAL = 604800  # seconds; a week between two samples is the slowest that is still a series
MAX_GAP = 0xFFFFFF  # seconds between two rows of one frame, 194 days: a node back from winter storage
MAX_DAYS = 49710  # dates are days since 2000, to the end of time above
MAX_QUANTITY = 0xFFFF
MAX_SET = 0xFFFF
MAX_INSTANCE = 255

MAX_STEP = 0xFFFF  # a common divisor of a column; ten or a hundred in practice
MAX_VALUE = 0x3FFFFFFF  # 31-bit readings: what a 32-bit MicroPython computes without taking memory
MIN_VALUE = -0x3FFFFFFF  # -2**30 is the node's own mark for absent and never on the wire
MAX_DELTA = 0x7FFFFFFE  # between two such values

MAX_LATITUDE = 90_000_000  # millionths of a degree, 0.11 m
MAX_LONGITUDE = 180_000_000
