"""`import citymote` is cheap: it loads the standard library only, and little of it."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
OPTIONAL = {
    "cbor2",
    "cryptography",
    "rich",
    "typer",
    "bleak",
    "pyarrow",
    "numpy",
    "paho",
    "aiomqtt",
    "amqtt",
    "matplotlib",
    "pandas",
    "polars",
    "segno",
    "sqlite3",
    "asyncio",
}


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True, cwd=TOP)
    return done.stdout


def test_import_loads_no_optional_dependency() -> None:
    loaded = json.loads(run("import sys, json, citymote; print(json.dumps(sorted(sys.modules)))"))
    assert not [name for name in loaded if name.split(".")[0] in OPTIONAL]


def test_import_takes_less_than_a_tenth_of_a_second() -> None:
    code = "import time; t = time.process_time(); import citymote; print(time.process_time() - t)"
    # The best of three: what is pinned is the work, not what else this machine is doing.
    assert min(float(run(code)) for _ in range(3)) < 0.1


def test_decoding_loads_no_table_engine_and_no_command_line() -> None:
    code = "import sys, json, citymote; list(citymote.readings(b'')); print(json.dumps(sorted(sys.modules)))"
    loaded = {name.split(".")[0] for name in json.loads(run(code))}
    assert not loaded & {"pyarrow", "numpy", "typer", "rich", "paho", "bleak"}


def test_help_loads_no_engine() -> None:
    code = (
        "import sys, json, contextlib, io\nfrom citymote.cli import application\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): application()(['--help'])\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    loaded = {name.split(".")[0] for name in json.loads(run(code))}
    assert not loaded & {"pyarrow", "numpy", "paho", "bleak", "matplotlib"}


def test_every_public_name_is_there() -> None:
    import citymote

    for name in citymote.__all__:
        assert getattr(citymote, name) is not None
    assert set(dir(citymote)) >= set(citymote.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    import citymote

    with pytest.raises(AttributeError, match="frobnicate"):
        _ = citymote.frobnicate


def test_version_is_the_distributions() -> None:
    import citymote

    project = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citymote.__version__ == project["version"]


def test_a_missing_extra_names_itself() -> None:
    from citymote.errors import MissingExtra, need

    with pytest.raises(MissingExtra, match=r"citymote\[arrow\]"):
        need("surely_not_installed.sub", "arrow", "making tables")
