"""The OpenAPI 3.1 description of the API, made from its routes and models when it is built, never while it runs.

``make openapi`` writes ``functions/api/openapi.json``, which the function ships and serves. What stands in the table
of routes and in the models is taken from there; this package adds what HTTP and Function Compute make of it.
"""
