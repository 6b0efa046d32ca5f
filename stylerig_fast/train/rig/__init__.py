"""Stage ``rig``: trains RigNet."""
