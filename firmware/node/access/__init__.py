"""Who may do what with this node, and what it does about it (SPEC 16): claim, roles, configuration, service."""
