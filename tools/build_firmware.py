#!/usr/bin/env python3
"""Precompile the node's application into build/app/<arch>/: `tools/build_firmware.py x86 rv32imc`.

Only the command line is here; `citymote.factory.build` does the work, because an installed wheel needs it too.
"""

import argparse
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / "host_sdk"), str(TOP / "protocol")]

from citymote.factory.build import ARCHITECTURES, BuildError, build  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description="Precompile the node's application to .mpy.")
    parser.add_argument("arch", nargs="*", default=["x86"], help=f"one or more of {', '.join(ARCHITECTURES)}")
    for arch in parser.parse_args().arch:
        try:
            folder = build(arch)
        except BuildError as error:
            print(f"build_firmware: {error}", file=sys.stderr)
            return 1
        files = list(folder.rglob("*.mpy"))
        print(f"{arch}: {len(files)} modules, {sum(path.stat().st_size for path in files)} bytes in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
