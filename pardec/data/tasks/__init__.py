"""One task a file; the names are in `pardec.data.registry`."""
