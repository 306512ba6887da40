"""The operations of the API: each endpoint parses its request, calls one use case and shows the result."""
