"""One step: the batch with its pool of labels, the gradient, the new weights."""
