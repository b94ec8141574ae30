"""One linear classifier for each label over the features of queries."""
