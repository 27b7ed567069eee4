"""Provisioning: from nodes in range to a fleet that reports, without a second visit.

    report = await citymote.provision(fleet, store, BleReach(), plan, arrivals=MqttArrivals(url, opener))

Each node is claimed, given its rights, its own credentials, its settings and the time, and tried; it counts as
provisioned only when a frame of it has arrived through its uplink, or when it has answered over that. What fails is
told with its stage and reason; the journal in the registry lets a later run go on where this one ended.
"""

from __future__ import annotations

from .arrivals import Arrivals, MqttArrivals
from .job import Correct, Uplink
from .report import Outcome, Report
from .rotate import rotate
from .run import Progress, provision

__all__ = [
    "Arrivals", "Correct", "MqttArrivals", "Outcome", "Progress", "Report", "Uplink", "provision", "rotate",
]  # fmt: skip
