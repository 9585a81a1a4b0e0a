"""Reviews: where they come from, how files are read, and how they are split."""
