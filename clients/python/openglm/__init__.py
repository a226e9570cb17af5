"""Python client of autoglmd."""
