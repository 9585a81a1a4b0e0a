"""Model folders: saving, loading, finding, fetching and exporting them."""
