"""The text network: backbones and their tokenizers, what fits, attention and dropout for short texts on a CPU."""
