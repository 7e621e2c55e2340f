"""The figures of the paper: one file each, one line in the registry."""
