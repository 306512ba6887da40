"""Function Compute's contract: events, context, entrypoints."""
