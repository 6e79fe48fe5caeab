"""Responsible for how routes are described to machines. Does not know a route."""
