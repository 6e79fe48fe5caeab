"""The routes, one blueprint a module.

Responsible for what each URL answers. Does not read bodies or stores itself.
"""
