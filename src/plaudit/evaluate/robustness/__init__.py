"""How a model does on edited and perturbed reviews, on reviews of other kinds, and on test sentences."""
