"""The kinds of model; `kinds.py` lists them."""
