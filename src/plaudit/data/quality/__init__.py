"""What is odd about a set of reviews: counts, plots, and both in the terminal."""
