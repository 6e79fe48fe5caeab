"""
This store and its peer doing the same work in turn, on the same rows, servers and machine.

Owns the comparisons that a single run must hold. Where Feast cannot be had, our figures and those
of the bare part are reported all the same, and the note says why the peer's are missing.
"""
