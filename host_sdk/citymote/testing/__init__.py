"""What citymote is tested with, shipped for those who build on it: virtual nodes, emulated chips, worlds to sense.

Nothing is imported here; take what is needed from the modules: `vm` (one virtual node), `world` (what it senses),
`bridge` (the wires between them), `emul` (the chips).
"""
