"""Updates of the application: everything but the boot, which is slots.py and never changes."""
