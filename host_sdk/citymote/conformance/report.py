"""What a conformance run found, as text for people, JSON for programs, JUnit XML for continuous integration."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that was tried. `clause` is the clause of the specification that it stands for, or that it broke."""

    name: str
    clause: str
    passed: bool
    message: str = ""


@dataclass(slots=True)
class Report:
    """All cases of one run, and what was noticed without being a failure."""

    subject: str
    cases: list[Case] = field(default_factory=list[Case])
    notes: list[str] = field(default_factory=list[str])

    def add(self, name: str, clause: str, passed: bool, message: str = "") -> None:
        """Note one case."""
        self.cases.append(Case(name, clause, passed, "" if passed else message))

    @property
    def failures(self) -> list[Case]:
        """The cases that failed."""
        return [case for case in self.cases if not case.passed]

    @property
    def passed(self) -> bool:
        """Whether there were cases and all passed: nothing tried is nothing shown."""
        return bool(self.cases) and not self.failures

    def text(self, most: int = 50) -> str:
        """Failures first come first, `most` of them; then the clauses broken, then one line that sums up."""
        lines = [f"FAIL {case.clause:<8} {case.name}: {case.message}" for case in self.failures[:most]]
        if len(self.failures) > most:
            lines.append(f"... and {len(self.failures) - most} more failures")
        lines += [f"note {note}" for note in self.notes]
        broken = Counter(case.clause for case in self.failures)
        if broken:
            lines.append(
                "clauses broken: " + ", ".join(f"{clause} ({count})" for clause, count in sorted(broken.items()))
            )
        verdict = "conforms" if self.passed else "does NOT conform" if self.cases else "was not tried: no cases"
        lines.append(
            f"{self.subject}: {len(self.cases) - len(self.failures)} of {len(self.cases)} cases pass; it {verdict}"
        )
        return "\n".join(lines)

    def json(self) -> str:
        """One JSON document."""
        return json.dumps(
            {
                "subject": self.subject,
                "passed": self.passed,
                "cases": len(self.cases),
                "failures": [
                    {"name": case.name, "clause": case.clause, "message": case.message} for case in self.failures
                ],
                "clauses_broken": sorted({case.clause for case in self.failures}),
                "notes": self.notes,
            },
            ensure_ascii=False,
        )

    def junit(self) -> str:
        """JUnit XML, as continuous integration systems read it: one suite, the clause as class name."""
        suite = ET.Element(
            "testsuite", name=self.subject, tests=str(len(self.cases)), failures=str(len(self.failures)), errors="0"
        )
        for case in self.cases:
            element = ET.SubElement(suite, "testcase", classname=f"SPEC {case.clause}", name=case.name)
            if not case.passed:
                ET.SubElement(element, "failure", message=case.message).text = f"breaks SPEC {case.clause}"
        ET.indent(suite)
        return ET.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"
