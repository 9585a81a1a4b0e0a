"""What goes wrong: mistakes, misleading words, labels that are probably wrong."""
