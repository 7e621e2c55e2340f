"""Corpora, tasks with exact scoring, tokenizers, and prompts."""
