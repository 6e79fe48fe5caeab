"""Responsible for the two stores as requests see them. Does not know routes."""
