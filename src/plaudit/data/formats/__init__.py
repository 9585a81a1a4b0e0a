"""Reading CSV, TSV, JSON lines and Parquet, compressed or not, from disk or a URL."""
