"""Where a draft is cut before it is verified."""
