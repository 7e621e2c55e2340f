"""Formats of published checkpoints: their config.json and the names of their weights."""
