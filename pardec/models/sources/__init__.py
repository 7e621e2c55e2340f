"""Sources of models, one per file."""
