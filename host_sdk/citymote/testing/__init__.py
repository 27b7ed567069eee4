"""What citymote is tested with, shipped for those who build on it: virtual nodes, emulated chips, worlds to sense.

Nothing is imported here; take what is needed from the modules: `vm` (one virtual node), `world` (what it senses),
`wiring` (which chip hangs where), `bridge` (the wires themselves), `emul` (the chips), `runtime` (the MicroPython and
the precompiled application it runs on). Many nodes at once are `citymote.simulate`.

Programs that talk to nodes and need no firmware have a node in their own process (`fake_node`), an air full of them
(`fake_air`), what their uplinks meet (`fake_uplink`), a real UDP port for other processes (`fake_port`), and a loop in
which time jumps (`clockwork`).
"""
