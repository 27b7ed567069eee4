"""What the node is: the descriptor frame that it sends when it has started. Forgotten once it is in the store."""

# sys.implementation is a tuple here.
# pyright: reportIndexIssue=false
import sys

from citymote_protocol.descriptor import Descriptor, Sensor, encode_descriptor

FIRMWARE = "0.1.0"


def runtime():
    """What runs this: MicroPython and its version."""
    return "%s %s" % (sys.implementation[0], ".".join(str(n) for n in sys.implementation[1][:3]))


def describe(node, model):
    """A maker of this node's descriptor frame for `Store.put`, or None: without sensors there is nothing to say."""
    sensors = tuple(Sensor(driver=sensor.name, columns=tuple(sorted(sensor.columns))) for sensor in node.sensors)
    if not sensors:
        return None
    descriptor = Descriptor(
        model=model, firmware=FIRMWARE, runtime=runtime(), sensors=sensors, batch_columns=node.sampler.columns
    )
    descriptor.node = node.name
    if node.clock.known:
        descriptor.time = node.clock.now()
        descriptor.clock = node.clock.state

    def make(epoch, seq):
        descriptor.epoch = epoch
        descriptor.seq = seq
        return encode_descriptor(descriptor)

    return make
