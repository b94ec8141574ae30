"""Stages of a training: inputs, the loop, refresh of hard negatives, checkpoints."""
