"""The code that all functions share; each function's package contains it."""
