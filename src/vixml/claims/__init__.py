"""Who writes what: two runs that write the same outputs do not meet."""
