"""Scores of outputs: exact tasks, text against references, likelihood."""
