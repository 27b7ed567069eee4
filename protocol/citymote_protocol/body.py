"""What a frame says, whatever its kind: the attributes that all decoded frames have, and descriptors to be encoded."""


class Frame:
    """What all kinds of frames say; a decoded frame is one of the subclasses."""

    kind = -1

    def __init__(self):
        self.node = None  # six bytes, or None where the envelope or the link names the node
        self.epoch = 0
        self.seq = 0
        self.time = 0
        self.clock = 0
        self.minor = 0
        self.options = ()  # optional fields that this version does not know: (key, bytes of the value)

    def identity(self):
        """What makes a frame that arrives twice the same frame."""
        return (self.node, self.epoch, self.seq)
