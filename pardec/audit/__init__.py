"""Reads a finished run again: does it follow from its records, and does another run agree with it?"""
