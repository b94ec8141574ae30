"""A trained model in the forms that other tools read: sentence-transformers, Parquet, faiss, ONNX."""
