"""The conformance kit: holds frames and decoders, ours or anyone's, to the specification and names the clause each
failure breaks.

`frames` judges what a node said, `decoder` what a decoder makes of the golden vectors, `report` says it to people and
to machines.
"""
