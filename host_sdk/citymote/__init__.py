"""citymote for developers: frames of city sensor nodes as typed readings and tables.

    import citymote
    for r in citymote.readings("day.cmcap"):
        print(r.node, r.time, r.quantity, r.value, r.unit, r.quality)
    table = citymote.to_arrow("day.cmcap")

Importing this package loads the standard library and nothing else: names are filled in when first used, so that a
script pays only for what it calls (tests/host/test_import.py pins it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from citymote.answers import Info
    from citymote.capture import CaptureWriter, Source
    from citymote.collect import Collector
    from citymote.decode import Decoder, Frame, Keys, OnError
    from citymote.descriptor import Descriptor
    from citymote.errors import BrokerError, CitymoteError, FrameProblem
    from citymote.fleet import Fleet, open_fleet
    from citymote.nearby import Sighting, scan
    from citymote.node import Node, claim_with
    from citymote.owner import OwnerStore
    from citymote.plan import Plan
    from citymote.provisioning import provision
    from citymote.reach import way_to
    from citymote.reading import Reading
    from citymote.registry import Quantity, quantity
    from citymote.storage.base import Store, open_store

__version__ = "0.1.0.dev0"

__all__ = [
    "BrokerError",
    "CaptureWriter",
    "CitymoteError",
    "Collector",
    "Decoder",
    "Descriptor",
    "Fleet",
    "Frame",
    "FrameProblem",
    "Info",
    "Node",
    "OwnerStore",
    "Plan",
    "Quantity",
    "Reading",
    "Sighting",
    "Store",
    "__version__",
    "claim_with",
    "descriptors",
    "open_fleet",
    "open_store",
    "provision",
    "quantity",
    "readings",
    "scan",
    "to_arrow",
    "way_to",
]

_HOMES = {
    "CaptureWriter": "capture",
    "BrokerError": "errors",
    "CitymoteError": "errors",
    "Collector": "collect",
    "Decoder": "decode",
    "Descriptor": "descriptor",
    "Fleet": "fleet",
    "Frame": "decode",
    "FrameProblem": "errors",
    "Info": "answers",
    "Node": "node",
    "OwnerStore": "owner",
    "Plan": "plan",
    "Quantity": "registry",
    "Reading": "reading",
    "Sighting": "nearby",
    "Store": "storage.base",
    "claim_with": "node",
    "open_fleet": "fleet",
    "open_store": "storage.base",
    "provision": "provisioning",
    "quantity": "registry",
    "scan": "nearby",
    "way_to": "reach",
}


def readings(
    source: Source, keys: Keys = None, on_error: OnError = "raise", node: str | None = None
) -> Iterator[Reading]:
    """The readings of a file, bytes, file object or iterable of frames.

    `keys` is a key file's path or an `Opener`, for sealed frames. `on_error` says what happens to a frame that cannot
    be read: "raise" (a FrameProblem), "skip", or a function called with the problem and the item; `Decoder` counts and
    keeps them.
    """
    from citymote.decode import Decoder

    return Decoder(keys, on_error, node).readings(source)


def descriptors(
    source: Source, keys: Keys = None, on_error: OnError = "raise", node: str | None = None
) -> Iterator[Descriptor]:
    """What the nodes in a source say they are: model, versions, sensors with batch and calibration date, and so on.

    The arguments are those of `readings`; frames of readings are passed over.
    """
    from citymote.decode import Decoder
    from citymote.descriptor import descriptor_of

    for frame in Decoder(keys, on_error, node).frames(source):
        found = descriptor_of(frame)
        if found is not None:
            yield found


def to_arrow(source: Source, keys: Keys = None, on_error: OnError = "raise", node: str | None = None) -> Any:
    """The same as a pyarrow Table (which carries no type annotations itself): node, epoch, seq, time, time_quality,
    quantity, sensor, value, unit, quality, sealed.
    """
    from citymote.arrow import to_arrow as convert

    return convert(source, keys, on_error, node)


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'citymote' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"citymote.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
