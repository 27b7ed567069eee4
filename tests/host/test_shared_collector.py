"""The collector of tests/shared tells the truth in both directions: what fails in a VM is reported as failing, alone.

Each case is a small shared file, collected and run by a pytest of its own with the real conftest.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Outcomes = Callable[..., tuple[dict[str, str], str]]
TOP = Path(__file__).resolve().parent.parent.parent
CONFTEST = f"""
import sys
sys.path[:0] = [{str(TOP)!r}, {str(TOP / "tools")!r}, {str(TOP / "host_sdk")!r}, {str(TOP / "protocol")!r}]
from tests.conftest import *
"""


@pytest.fixture
def outcomes(tmp_path: Path, run_vm: object) -> Outcomes:
    """Run one shared file; return {item name: outcome word} and what pytest printed."""
    folder = tmp_path / "shared"
    folder.mkdir()
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --import-mode=importlib -p no:cacheprovider\nmarkers = slow\n hil\n"
    )

    def run(text: str, *arguments: str) -> tuple[dict[str, str], str]:
        (folder / "test_case.py").write_text(text)
        command = [sys.executable, "-m", "pytest", "-v", "-p", "no:xdist", "-p", "no:randomly", *arguments, "shared"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        found: dict[str, str] = {}
        for line in done.stdout.splitlines():
            name, _, rest = line.partition(" ")
            if name.startswith("shared/test_case.py::") and rest:
                found[name.partition("::")[2]] = rest.split()[0]
        return found, done.stdout

    return run


def test_what_holds_passes_in_both_interpreters(outcomes: Outcomes) -> None:
    found, _ = outcomes("def test_good():\n    assert 1 + 1 == 2\n")
    assert found == {"test_good[cpython]": "PASSED", "test_good[micropython]": "PASSED"}


def test_a_failure_in_one_interpreter_is_that_interpreter_s_alone(outcomes: Outcomes) -> None:
    text = (
        "import sys\nHERE = sys.implementation.name\n"
        "def test_only_cpython():\n    assert HERE == 'cpython'\n"
        "def test_only_micropython():\n    assert HERE == 'micropython'\n"
    )
    found, printed = outcomes(text)
    assert found == {
        "test_only_cpython[cpython]": "PASSED",
        "test_only_cpython[micropython]": "FAILED",
        "test_only_micropython[cpython]": "FAILED",
        "test_only_micropython[micropython]": "PASSED",
    }
    assert "assert HERE == 'cpython'" in printed, "the failing line of the VM's traceback is shown"


def test_a_memory_error_fails_its_function_and_no_other(outcomes: Outcomes) -> None:
    text = (
        "import sys\n"
        "def test_greedy():\n    if sys.implementation.name == 'micropython':\n        bytearray(10 ** 6)\n"
        "def test_modest():\n    assert bytearray(1000)\n"
    )
    found, printed = outcomes(text)
    assert found["test_greedy[micropython]"] == "FAILED"
    assert found["test_modest[micropython]"] == "PASSED"
    assert "MemoryError" in printed


def test_the_heap_is_what_a_chip_leaves_unless_the_file_asks_for_more(outcomes: Outcomes) -> None:
    text = (
        "import sys\n{}"
        "def test_big():\n    if sys.implementation.name == 'micropython':\n        assert bytearray(250000)\n"
    )
    assert outcomes(text.format(""))[0]["test_big[micropython]"] == "FAILED"
    assert outcomes(text.format('HEAP = "400k"\n'))[0]["test_big[micropython]"] == "PASSED"


def test_a_function_that_ends_the_vm_takes_only_itself_down(outcomes: Outcomes) -> None:
    text = (
        "import sys\n"
        "def test_before():\n    pass\n"
        "def test_leaves():\n    if sys.implementation.name == 'micropython':\n"
        "        print('last words')\n        sys.exit(3)\n"
        "def test_after():\n    pass\n"
    )
    found, printed = outcomes(text)
    assert found["test_before[micropython]"] == "PASSED"
    assert found["test_leaves[micropython]"] == "FAILED"
    assert found["test_after[micropython]"] == "PASSED"
    assert "ended with 3" in printed
    assert "last words" in printed


def test_a_file_that_does_not_import_in_the_vm_fails_every_function(outcomes: Outcomes) -> None:
    found, printed = outcomes("import dataclasses\ndef test_one():\n    pass\ndef test_two():\n    pass\n")
    assert found["test_one[micropython]"] == "FAILED"
    assert found["test_two[micropython]"] == "FAILED"
    assert found["test_one[cpython]"] == "PASSED"
    assert "no module named 'dataclasses'" in printed


def test_syntax_that_the_node_does_not_have_is_the_compiler_s_message(outcomes: Outcomes) -> None:
    found, printed = outcomes("def test_one():\n    match 1:\n        case 1:\n            pass\n")
    assert found["test_one[micropython]"] == "FAILED"
    assert "mpy-cross" in printed
    assert "test_case.py" in printed


def test_printing_does_not_disturb_the_outcome(outcomes: Outcomes) -> None:
    loud = "    print('passed')\n    print('no newline', end='')\n"
    found, _ = outcomes(f"def test_fails():\n{loud}    assert False\ndef test_holds():\n{loud}")
    assert found["test_fails[micropython]"] == "FAILED"
    assert found["test_holds[micropython]"] == "PASSED"


def test_one_half_can_be_chosen(outcomes: Outcomes) -> None:
    found, _ = outcomes("def test_good():\n    pass\ndef test_other():\n    pass\n", "-k", "good and micropython")
    assert found == {"test_good[micropython]": "PASSED"}
