# Runs inside the VM for bench_node.py: `encode_vm.py FILE ROUNDS`. FILE is JSON: columns, times, values (a list a
# column, null where absent), and rows as others would say them. Prints `name microseconds` lines, one batch each.
import gc
import json
import sys
import time
from array import array

from citymote_protocol.batch import Encoder
from citymote_protocol.quantities import ABSENT


def fastest(what, rounds):
    best = None
    for _ in range(rounds):
        gc.collect()
        before = time.ticks_us()
        what()
        spent = time.ticks_diff(time.ticks_us(), before)
        if best is None or spent < best:
            best = spent
    return best


def main(path, rounds):
    with open(path) as file:  # noqa: PTH123 - MicroPython has no pathlib
        said = json.load(file)
    times = array("i", said["times"])
    count = len(times)
    columns = [array("i", [ABSENT if value is None else value for value in line]) for line in said["values"]]
    encoder = Encoder(bytes(range(6)), tuple(tuple(column) for column in said["columns"]), 2048)
    for name, packed in (("citymote", False), ("citymote_packed", True)):

        def encode(packed=packed):
            encoder.encode_into(1, 1000, times[0], 2, 60, count, columns, None, packed, times)

        print(name, fastest(encode, rounds))
    rows = said["rows"]
    print("json", fastest(lambda: json.dumps(rows), rounds))
    names = said["names"]
    scales = said["scales"]

    def build():
        made = []
        for row in range(count):
            line = {"id": rows[row]["id"], "time": rows[row]["time"]}
            for i in range(len(names)):
                value = columns[i][row]
                if value != ABSENT:
                    line[names[i]] = value / scales[i]
            made.append(line)
        json.dumps(made)

    print("json_from_columns", fastest(build, rounds))


main(sys.argv[1], int(sys.argv[2]))
