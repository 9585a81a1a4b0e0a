"""Text in, ids out: cleaning and tokenizing, once, for every model of ours."""
