"""How much each word contributes to a verdict."""
