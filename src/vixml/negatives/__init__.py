"""Hard negatives: clusters and batches cut from them, mined labels, centroids, the curriculum."""
