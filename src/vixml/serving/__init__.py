"""A trained variant as one folder that opens anywhere: predictor, page, batches of queries, new labels."""
