"""Decoders: ways to turn prompts into tokens. They report to an observer and know nothing of clocks."""
