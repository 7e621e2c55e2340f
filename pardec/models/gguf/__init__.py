"""Models in GGUF files, llama.cpp's format: one file with weights, configuration, tokenizer and chat template."""
