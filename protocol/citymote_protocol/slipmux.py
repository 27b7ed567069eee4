"""CoAP and text on one serial line: frames of Slipmux (draft-bormann-t2trg-slipmux-03 on RFC 1055; SPEC 15.6).

A frame's first byte says what it is. A CoAP message carries a check sequence (FCS-16 of RFC 1662, C.2) over that byte
and itself; what is damaged, too long or of an unknown kind is dropped whole, and whoever sent it repeats it. `Slipmux`
takes bytes as they come in pieces of any size and never keeps more than one frame.
"""

COAP = 0xA9
TEXT = 0x0A

LIMIT = 1160  # bytes of one frame's content: a message of 1152, its kind and its check sequence

_END, _ESC, _ESC_END, _ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD
_GOOD = 0xF0B8  # what the sequence comes to over a frame that is whole


def fcs16(data, value=0xFFFF):
    """RFC 1662's check sequence over these bytes, not yet complemented."""
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
    return value


def frame(kind, content):
    """One frame, as it goes on the line. The END before it closes whatever noise had opened."""
    body = bytearray((kind,))
    body.extend(content)
    if kind == COAP:
        check = fcs16(body) ^ 0xFFFF
        body.append(check & 255)
        body.append(check >> 8)
    out = bytearray((_END,))
    for byte in body:
        if byte == _END:
            out.append(_ESC)
            out.append(_ESC_END)
        elif byte == _ESC:
            out.append(_ESC)
            out.append(_ESC_ESC)
        else:
            out.append(byte)
    out.append(_END)
    return bytes(out)


class Slipmux:
    """The reader of one line. `dropped` counts frames that were damaged."""

    def __init__(self, limit=LIMIT):
        self._limit = limit
        self._body = bytearray()
        self._escaped = False
        self._bad = False
        self.dropped = 0

    def feed(self, data):
        """[(kind, content)] of the frames that these bytes complete."""
        found = []
        for byte in data:
            body = self._body
            if byte == _END:
                if body or self._bad or self._escaped:
                    self._close(found)
                continue
            if self._escaped:
                self._escaped = False
                if byte == _ESC_END:
                    byte = _END
                elif byte == _ESC_ESC:
                    byte = _ESC
                else:
                    self._bad = True
            elif byte == _ESC:
                self._escaped = True
                continue
            if len(body) >= self._limit:
                self._bad = True
            elif not self._bad:
                body.append(byte)
        return found

    def _close(self, found):
        body = self._body
        if not self._bad and not self._escaped:
            if body[0] == TEXT:
                found.append((TEXT, bytes(body[1:])))
            elif body[0] == COAP and len(body) > 2 and fcs16(body) == _GOOD:
                found.append((COAP, bytes(body[1:-2])))
            else:
                self._bad = True
        if self._bad or self._escaped:
            self.dropped += 1
        self._body = bytearray()
        self._escaped = self._bad = False
