"""The main job from end to end without hardware: a city's data played to virtual nodes, collected, compared and drawn.

`dataset` reads published data through `mapping` files, `city` makes a city day of its own, `run` drives nodes, broker
and collector and holds what was stored against what was played, `report` draws it. The firmware in it is the real one.
"""
