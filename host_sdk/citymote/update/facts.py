"""What `citymote update inspect` tells of a bundle, as plain data: for people, for programs, for a record."""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from citymote_protocol import suit as _suit

from . import sbom
from .bundle import Bundle, Target, differences

suit: Any = _suit
ALGORITHMS = {suit.ESP256: "ESP256", suit.HSS_LMS: "HSS-LMS"}


def of(bundle: Bundle, files: bool = False, older: Bundle | None = None) -> dict[str, Any]:
    """Everything that can be said without a key; `older`: also what a node that runs it would fetch."""
    return {
        "release": str(bundle.version),
        "content": bundle.content,
        "runtime": bundle.runtime,
        "vendor": bundle.vendor.hex(),
        "components": len(list(sbom.components(bundle.sbom))),
        "notes": bundle.notes,
        "targets": [_target(bundle, target, files, older) for target in bundle.targets],
    }


def _target(bundle: Bundle, target: Target, files: bool, older: Bundle | None) -> dict[str, Any]:
    entries = target.entries()
    envelope = bundle.envelopes.get(target.name)
    found: dict[str, Any] = {
        "name": target.name,
        "architecture": target.architecture,
        "boards": list(target.boards),
        "index": sha256(target.index).hexdigest(),
        "index_bytes": len(target.index),
        "count": len(entries),
        "size": sum(entry.size for entry in entries),
        "fetched": sum({entry.digest: entry.fetched for entry in entries}.values()),
        "envelope_bytes": len(envelope or b""),
        "signatures": signatures(envelope) if envelope else [],
    }
    before = next((one for one in older.targets if one.name == target.name), None) if older else None
    if before is not None:
        changed = list(differences(before, target))
        found["changed"], found["changed_bytes"] = len(changed), sum(entry.fetched for entry in changed)
    if files:
        found["files"] = [
            {"name": entry.name, "size": entry.size, "fetched": entry.fetched, "sha256": entry.digest.hex()}
            for entry in entries
        ]
    return found


def signatures(envelope: bytes) -> list[dict[str, Any]]:
    """What an envelope's signatures say of themselves: nothing here has been verified."""
    from .manifest import parts, sequence_of

    _, blocks, manifest, _ = parts(envelope)
    sequence = sequence_of(manifest)
    return [
        {"sequence": sequence, "key": bytes(kid).hex(), "algorithm": ALGORITHMS.get(algorithm, str(algorithm))}
        for algorithm, kid, _ in blocks
    ]
