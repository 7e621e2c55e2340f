"""One source of prompts a file; the names are in `pardec.data.registry`."""
