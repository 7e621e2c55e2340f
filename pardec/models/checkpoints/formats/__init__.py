"""How published checkpoints write a backbone down: their config.json and the names of their weights."""
