"""Inspect the quality of a data set: counts, plots and tables."""
