"""Model families: what a model is trained to predict."""
