"""What citymote is tested with, shipped for those who build on it: virtual nodes, emulated chips, worlds to sense.

Nothing is imported here; take what is needed from the modules: `vm` (one virtual node), `world` (what it senses),
`wiring` (which chip hangs where), `bridge` (the wires themselves), `emul` (the chips), `runtime` (the MicroPython and
the precompiled application it runs on). Many nodes at once are `citymote.simulate`.
"""
