"""Data sets with a name: where each comes from, and how it is read and cached."""
