"""Training: labelled texts and settings in, a fitted model out; one loop for every torch model."""
