"""One step: the batch with its pool of labels, the loss, the new weights."""
