"""Responsible for what each URL answers, one blueprint a module. Reads no store by itself."""
