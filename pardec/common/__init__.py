"""The lowest floor: code that every other floor may use, independent of language models."""
