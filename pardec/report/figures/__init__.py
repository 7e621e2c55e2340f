"""The figures of the report: one file each, one line in the registry."""
