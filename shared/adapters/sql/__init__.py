"""The database: one module per store.

A store imports ``tables`` and ``statements``, and never another store.
"""
