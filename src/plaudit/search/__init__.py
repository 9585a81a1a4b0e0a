"""Trying many models: select compares them, tune searches settings, sweep prunes by many ratios."""
