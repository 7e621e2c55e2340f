"""Speculative decoding: one loop, and small strategies of which none knows another."""
