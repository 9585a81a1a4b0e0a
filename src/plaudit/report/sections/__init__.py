"""The chapters of a report; each names the files it lacks."""
