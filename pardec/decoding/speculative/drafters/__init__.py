"""Who writes the draft."""
