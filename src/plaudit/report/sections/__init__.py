"""The chapters of a report, each a function from evidence to a Section that names what is missing."""
