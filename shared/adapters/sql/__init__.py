"""The database: one module per store."""
