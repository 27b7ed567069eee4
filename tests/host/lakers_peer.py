"""lakers, one session in a process of its own: calls come as JSON arrays, a line each, and so do their results.

A wrong message makes lakers panic, and a panic is a BaseException: everything is caught and told as an error.
"""

import json
import sys

import lakers


def _eads(items):
    return [[item.label(), item.is_critical(), bytes(item.value()).hex()] for item in items]


def _items(given):
    return [lakers.EADItem(label, critical, bytes.fromhex(value)) for label, critical, value in given]


def _transfer(by_value):
    return lakers.CredentialTransfer.ByValue if by_value else lakers.CredentialTransfer.ByReference


class Peer:
    def __init__(self):
        self.session = None

    def call(self, name, *a):
        session = self.session
        if name == "begin initiator":
            self.session = lakers.EdhocInitiator()
            return bytes(self.session.prepare_message_1(c_i=bytes.fromhex(a[0]), ead_1=_items(a[1]))).hex()
        if name == "begin responder":
            self.session = lakers.EdhocResponder(r=bytes.fromhex(a[0]), cred_r=bytes.fromhex(a[1]))
            return None
        if name == "process 1":
            c_i, ead = session.process_message_1(bytes.fromhex(a[0]))
            return [bytes(c_i).hex(), _eads(ead)]
        if name == "prepare 2":
            return bytes(session.prepare_message_2(_transfer(a[0]), bytes.fromhex(a[1]), _items(a[2]))).hex()
        if name == "parse 2":
            c_r, id_cred, ead = session.parse_message_2(bytes.fromhex(a[0]))
            return [bytes(c_r).hex(), bytes(id_cred).hex(), _eads(ead)]
        if name == "verify 2":
            private, cred_i, cred_r = (bytes.fromhex(text) for text in a[:3])
            session.verify_message_2(private, cred_i, cred_r)
            message_3, _ = session.prepare_message_3(_transfer(a[3]), _items(a[4]))
            return bytes(message_3).hex()
        if name == "parse 3":
            id_cred, ead = session.parse_message_3(bytes.fromhex(a[0]))
            return [bytes(id_cred).hex(), _eads(ead)]
        if name == "verify 3":
            return bytes(session.verify_message_3(bytes.fromhex(a[0]))).hex() and None
        if name == "prepare 4":
            return bytes(session.prepare_message_4(_items(a[0]))).hex()
        if name == "process 4":
            return _eads(session.process_message_4(bytes.fromhex(a[0])) or [])
        assert name == "export"
        return bytes(session.edhoc_exporter(a[0], list(bytes.fromhex(a[1])), a[2])).hex()


peer = Peer()
for line in sys.stdin:
    try:
        said = {"result": peer.call(*json.loads(line))}
    except BaseException as error:  # noqa: BLE001 (a panic is one)
        said = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(said), flush=True)
