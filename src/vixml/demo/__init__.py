"""The demo catalogue: products with words and drawn pictures, written as raw files."""
