"""Updates of nodes' applications: keys, bundles, signed manifests, roll-outs (SPEC 14)."""
