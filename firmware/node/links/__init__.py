"""Links carry the protocol's bytes and nothing more: one file a link."""
