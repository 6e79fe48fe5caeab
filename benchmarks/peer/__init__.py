"""
The peer: Feast doing what this store does, on the same rows, labels and machine.

Owns Feast's environment, a feature repository in a scratch folder, and one module for each
comparison: `push`, `join`, `serve` and `start`, each a function and a command line. Feast is never
imported here: only `inside` is, and it runs in Feast's own environment. Every module gives Feast
the fastest settings that were found, says which they are, and refuses to tell the time of a wrong
answer.
"""
