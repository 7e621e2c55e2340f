"""Language models: one backbone, its families and training, and loading whatever the source."""
