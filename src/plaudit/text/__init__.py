"""Cleans and tokenizes texts, for every model."""
