"""Emulators that answer byte for byte like the chips' datasheets, one chip a module; `base` says what a chip is."""
