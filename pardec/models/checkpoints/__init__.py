"""Checkpoints: formats, names of weights, shards, reading and writing."""
