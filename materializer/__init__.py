"""Publish what passed the gate, and push it online."""
