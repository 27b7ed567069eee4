"""The sound level meter: from the microphone's words to the levels of an interval, in integers, on the node.

`meter` is the driver that the application keeps running; `engine` turns words into seconds, with the generated
sample loops (`kernel*`) and the 5 ms arithmetic (`block`); `interval` turns seconds into readings. No audio is kept:
the only copy of a sample is the I2S buffer that the next read overwrites.
"""
