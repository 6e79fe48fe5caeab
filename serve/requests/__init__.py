"""Responsible for reading what clients send. Does not know routes or stores."""
