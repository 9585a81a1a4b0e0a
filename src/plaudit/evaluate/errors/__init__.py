"""Where a model errs: labels that are probably wrong, and words that mislead it."""
