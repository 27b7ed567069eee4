"""The same sample loops for virtual machines with 64-bit words; no board needs this folder."""
