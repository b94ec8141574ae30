"""Checks on files, servers and programs from untrusted sources."""
