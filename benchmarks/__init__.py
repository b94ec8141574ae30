"""Each hot path against its slow oracle and against what the machine could do; `python -m benchmarks`."""
