"""Scores of what came out: exact tasks, text against references, likelihood."""
