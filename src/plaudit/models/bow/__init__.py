"""The bag of n-grams: logistic regression on which n-grams a text has."""
