"""Use cases. None of them knows an event, an environment variable or an SDK."""
