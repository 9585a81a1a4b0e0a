"""What a recipe does: reading it, building its models, running the whole, and compressing one model on its own."""
