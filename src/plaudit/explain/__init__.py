"""How much each word contributes to a prediction."""
