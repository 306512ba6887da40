"""What each operation does: call one use case and show its result."""
