"""Score files larger than memory, on the cores of one machine or of a Ray cluster.

A job is cut into parts, each a file or some row groups of a large Parquet file. One function scores a part, completely
or not at all (`part.py`); engines differ only in where they call it (`local.py`, `cluster.py`).
"""
