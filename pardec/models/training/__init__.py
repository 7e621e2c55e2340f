"""Training: objectives, batches, optimiser."""
