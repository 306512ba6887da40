"""Access control: who signed a request (signatures), and whether that caller may do it (admission)."""
