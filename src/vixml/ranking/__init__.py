"""Ranking with all evidence: features of queries, nearest training queries, and the blend of all parts."""
