"""What tries many models: select compares, tune searches settings, sweep prunes by many ratios."""
