"""Model classes in plain torch: a config in, logits out; no file access."""
