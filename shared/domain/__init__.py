"""Values, states and rules. No I/O, and nothing of any platform."""
