"""Sources of prompts, one per file; the names are in `pardec.data.registry`."""
