"""One run's results as a page and a PDF."""
