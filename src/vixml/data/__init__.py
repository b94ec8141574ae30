"""Plain arrays that stages hand on: ragged rows, items, tokens. They know nothing of files' formats."""
