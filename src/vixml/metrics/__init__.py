"""Metrics of a ranking and the propensity model, over plain arrays: training validates with what evaluation reports."""
