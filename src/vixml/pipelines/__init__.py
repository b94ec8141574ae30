"""Kedro pipelines: one folder a stage, nodes of a few lines, no logic."""
