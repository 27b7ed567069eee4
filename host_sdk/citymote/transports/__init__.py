"""Ways in which frames reach the host, one module each; a transport carries bytes and acknowledges them, nothing
more.
"""
