"""The bill of materials of a release, as CycloneDX 1.6 (ECMA-424): the runtime it is for, and every module in it.

It has no time and no random serial number: the same release has the same document. What is written here is what is
known: a runtime's version and the ESP-IDF beneath it only where its image was given. A node says itself which runtime
it has, and `citymote update status` puts both together. Document: CycloneDX 1.6 JSON reference.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from citymote.factory.selection import module_of

if TYPE_CHECKING:
    from citymote.factory.image import Runtime

    from .version import Version

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "sbom.citymote")
_LICENCE = [{"license": {"id": "Apache-2.0"}}]
APPLICATION, MICROPYTHON = "citymote-firmware", "micropython"


class Component(NamedTuple):
    """One component of a release: `targets` are those that have it, none where all do."""

    name: str
    version: str
    targets: tuple[str, ...] = ()


def write(
    version: Version,
    modules: Mapping[str, tuple[str, Sequence[str]]],
    imports: Mapping[str, Sequence[str]],
    *,
    runtime: str,
    runtimes: Sequence[Runtime] = (),
    compiler: str = "",
) -> bytes:
    """The document. `modules`: source -> its SHA-256 and the targets that have it; `imports`: source -> sources."""
    top = f"{APPLICATION}@{version}"
    platform, beneath = _platform(runtime, runtimes)
    components = [*platform, *[_module(name, str(version), *modules[name]) for name in sorted(modules)]]
    dependencies = [{"ref": top, "dependsOn": sorted(one["bom-ref"] for one in components)}]
    dependencies += [{"ref": ref, "dependsOn": sorted(refs)} for ref, refs in sorted(beneath.items())]
    dependencies += [
        {"ref": _ref(name), "dependsOn": [_ref(other) for other in imports.get(name, ())]} for name in sorted(modules)
    ]
    tree: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "firmware", "bom-ref": top, "name": APPLICATION, "version": str(version), "licenses": _LICENCE,
            },
            "tools": {"components": [{"type": "application", "name": "mpy-cross", "version": compiler}]},
        },
        "components": components,
        "dependencies": dependencies,
    }  # fmt: skip
    digest = hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()
    tree["serialNumber"] = f"urn:uuid:{uuid.uuid5(NAMESPACE, digest)}"
    return json.dumps(tree, indent=1, sort_keys=True).encode() + b"\n"


def _platform(oldest: str, runtimes: Sequence[Runtime]) -> tuple[list[dict[str, Any]], dict[str, list[str]]]:
    limit = [{"name": "citymote:oldest", "value": oldest}]
    licence = [{"license": {"id": "MIT"}}]
    if not runtimes:
        made = {
            "type": "platform",
            "bom-ref": MICROPYTHON,
            "name": MICROPYTHON,
            "licenses": licence,
            "properties": limit,
        }
        return [made], {}
    found: dict[str, dict[str, Any]] = {}
    beneath: dict[str, list[str]] = {}
    for image in sorted(runtimes, key=lambda image: (image.version, image.fingerprint)):
        digest = hashlib.sha256(image.program.data).hexdigest()
        ref = f"{MICROPYTHON}-{digest[:12]}"
        found[ref] = {
            "type": "platform", "bom-ref": ref, "name": MICROPYTHON, "version": image.version.removeprefix("v"),
            "licenses": licence, "hashes": [{"alg": "SHA-256", "content": digest}], "properties": limit,
        }  # fmt: skip
        if image.idf:
            idf = f"esp-idf@{image.idf.removeprefix('v')}"
            found[idf] = {
                "type": "framework", "bom-ref": idf, "name": "esp-idf", "version": image.idf.removeprefix("v"),
                "licenses": _LICENCE,
            }  # fmt: skip
            beneath[ref] = [idf]
    return list(found.values()), beneath


def _ref(name: str) -> str:
    return f"module:{module_of(name)}"


def _module(name: str, version: str, digest: str, targets: Sequence[str]) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": _ref(name),
        "name": module_of(name),
        "version": version,
        "licenses": _LICENCE,
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "properties": [{"name": "citymote:target", "value": target} for target in targets],
    }


def components(document: bytes) -> Iterator[Component]:
    """What a document of ours or of a maker's own lists; nothing where it is no such document."""
    try:
        tree = json.loads(document or b"{}")
        top = tree.get("metadata", {}).get("component")
        listed = ([top] if top else []) + list(tree.get("components", ()))
        for one in listed:
            targets = [p["value"] for p in one.get("properties", ()) if p.get("name") == "citymote:target"]
            yield Component(str(one["name"]), str(one.get("version", "")), tuple(map(str, targets)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return
