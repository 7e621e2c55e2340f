"""Records, provenance, tables, statistics, values: how a measurement becomes a number one can trust."""
