"""What a node offers to whom: SPEC's table 16.2, and for each line the function that answers.

The functions are in modules of their own, which are loaded when somebody asks for them: each gets the desk and the
request, and answers as a function of `coap_server` does.
"""

from citymote_protocol.coap_server import FRESH, OBSERVABLE, STREAM

ANYBODY, READER, INSTALLER, OWNER = range(4)


def admit_claim(desk, request):
    from .admit import claim

    return claim(desk, request)


def admit_nonce(desk, request):
    from .admit import nonce

    return nonce(desk, request)


def admit_access(desk, request):
    from .admit import access

    return access(desk, request)


def admit_epoch(desk, request):
    from .admit import epoch

    return epoch(desk, request)


def admit_time(desk, request):
    from .admit import time

    return time(desk, request)


def tell_info(desk, request):
    from .tell import info

    return info(desk, request)


def tell_live(desk, request):
    from .tell import live

    return live(desk, request)


def tell_log(desk, request):
    from .tell import log

    return log(desk, request)


def tell_identify(desk, request):
    from .tell import identify

    return identify(desk, request)


def tell_calibrate(desk, request):
    from .tell import calibrate

    return calibrate(desk, request)


def configure_get(desk, request):
    from .configure import get

    return get(desk, request)


def configure_patch(desk, request):
    from .configure import patch

    return patch(desk, request)


def configure_trial(desk, request):
    from .configure import trial

    return trial(desk, request)


def possess_reset(desk, request):
    from .possess import reset

    return reset(desk, request)


def possess_offer(desk, request):
    from .possess import offer

    return offer(desk, request)


def possess_take(desk, request):
    from .possess import take

    return take(desk, request)


def possess_recover(desk, request):
    from .possess import recover

    return recover(desk, request)


def possess_veto(desk, request):
    from .possess import veto

    return veto(desk, request)


def update_state(desk, request):
    from node.update.resources import state

    return state(desk, request)


def update_offer(desk, request):
    from node.update.resources import offer

    return offer(desk, request)


def update_keys(desk, request):
    from node.update.resources import keys

    return keys(desk, request)


def update_push(desk, request):
    from node.update.resources import push

    return push(desk, request)


# path, flags, (method, least role, function) each; where two roles would do, the function looks
TABLE = (
    ("claim", 0, (("post", ANYBODY, admit_claim),)),
    ("access", 0, (("get", ANYBODY, admit_nonce), ("post", ANYBODY, admit_access))),
    ("epoch", FRESH, (("put", OWNER, admit_epoch),)),
    ("time", FRESH, (("put", INSTALLER, admit_time),)),
    ("info", 0, (("get", READER, tell_info),)),
    ("live", OBSERVABLE, (("get", READER, tell_live),)),
    ("log", 0, (("get", INSTALLER, tell_log),)),
    ("identify", 0, (("post", INSTALLER, tell_identify),)),
    ("calibrate", 0, (("post", INSTALLER, tell_calibrate),)),
    ("config", 0, (("get", INSTALLER, configure_get), ("ipatch", INSTALLER, configure_patch))),
    ("config/trial", FRESH, (("post", INSTALLER, configure_trial),)),
    ("reset", FRESH, (("post", INSTALLER, possess_reset),)),
    ("owner", FRESH, (("put", OWNER, possess_offer), ("post", ANYBODY, possess_take))),
    ("recovery", FRESH, (("post", ANYBODY, possess_recover), ("delete", OWNER, possess_veto))),
    ("update", FRESH | OBSERVABLE | STREAM, (("get", READER, update_state), ("post", INSTALLER, update_offer))),
    ("update/keys", 0, (("put", INSTALLER, update_keys),)),
    ("update/file", STREAM, (("put", INSTALLER, update_push),)),
)
