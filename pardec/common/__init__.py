"""The ground floor: what every other floor may use and what knows nothing of language models."""
