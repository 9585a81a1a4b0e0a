"""The chapters of a report; each lists the files that are missing."""
