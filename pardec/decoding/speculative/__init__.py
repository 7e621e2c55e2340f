"""Speculative decoding: one loop, and small strategies that do not know each other."""
