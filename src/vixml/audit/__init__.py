"""Training pairs that are probably missing or wrong, by evidence that has not seen them."""
