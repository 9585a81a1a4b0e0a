"""Data sets that have a name: where each comes from, and how it is unpacked and cached."""
