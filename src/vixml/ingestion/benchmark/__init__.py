"""Readers of the Extreme Classification Repository's formats."""
