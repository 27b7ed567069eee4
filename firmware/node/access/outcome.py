"""Why the uplink does not come up, as byte 7 of the advertisement says it (SPEC 15.4).

A failure is an exception and the stage in which it came (`telemetry`): each names a reason of its own, and what no
reason fits is another reason.
"""

NO_NETWORK, BAD_KEY, NO_ADDRESS, NO_NAME, SILENT, CERTIFICATE, CREDENTIALS, TIME, OTHER = 1, 2, 3, 4, 5, 6, 7, 8, 15

# What the HAL gives as the number of an OSError: its reason, and this
HAL = 2000
_JOINING, _CONNECTING, _GREETING = 1, 2, 3
_VERIFY = -0x2700  # mbedTLS: the certificate did not verify
_ALERT = -0x7780  # mbedTLS: the peer ended the handshake
_EACCES = 13  # of `hal.stream`: a certificate that cannot be read, or is another's
_MQTT = 1001
_UNAVAILABLE = 1003


def detail(stage, error, clock_known):
    """The reason for a failure in that stage; `error` None: nothing has failed yet."""
    if error is None:
        return OTHER
    number = error.args[0] if error.args and type(error.args[0]) is int else 0
    if HAL < number < HAL + OTHER:
        number -= HAL
        return TIME if number == CERTIFICATE and not clock_known else number
    if stage == _JOINING:
        return NO_NETWORK
    if stage == _CONNECTING:
        if number in (_VERIFY, _EACCES):
            return CERTIFICATE if clock_known else TIME
        return CREDENTIALS if number == _ALERT else SILENT
    if stage == _GREETING:
        if _MQTT <= number < _MQTT + 9:
            return SILENT if number == _UNAVAILABLE else CREDENTIALS
        return CREDENTIALS if number == _ALERT else SILENT
    return OTHER if number == 1 else SILENT
