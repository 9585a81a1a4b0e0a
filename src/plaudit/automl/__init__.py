"""Chooses how to classify a file's texts, without a recipe: candidates, their cross-validation, and learning curves."""
