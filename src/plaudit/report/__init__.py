"""What one run found, as a page and a PDF."""
