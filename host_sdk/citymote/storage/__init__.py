"""Stores of readings: one base, one module a backend, one function that chooses."""

from citymote.storage.base import Conflict, Counts, Kept, Query, Store, open_store

__all__ = ["Conflict", "Counts", "Kept", "Query", "Store", "open_store"]
