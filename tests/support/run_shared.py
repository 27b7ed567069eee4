# Runs inside the VM: `-m run_shared MODULE FUNCTION...`. Says on stdout, in marked lines, which function begins and how
# it ended; tests/support/shared.py reads that. Every allocation here is taken from the tests' heap, so it stays small.
import gc
import sys

MARK = "\x02"


def main(module, *names):
    tests = __import__(module)
    for name in names:
        gc.collect()
        print(MARK + "begin " + name)
        try:
            getattr(tests, name)()
        except Exception as error:  # noqa: BLE001
            sys.print_exception(error, sys.stdout)
            print(MARK + "failed")
        else:
            print(MARK + "passed")


main(*sys.argv[1:])
