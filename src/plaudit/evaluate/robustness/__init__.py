"""How a model does on edited, foreign, made-up and misspelt reviews."""
