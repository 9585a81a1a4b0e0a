"""The paper on this repository's own runs and studies: a page and a PDF from docs/results."""
