"""Further passes of the draft before the target sees anything."""
