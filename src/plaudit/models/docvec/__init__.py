"""Document vectors: an embedding of n-grams that is learned without labels."""
