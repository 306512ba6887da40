"""The OpenAPI 3.1 description of the API, generated from its routes and models before the release, never at run time.

``make openapi`` writes ``functions/api/openapi.json``, which the function ships and serves. Paths, inputs and answers
come from the table of routes and from the models; this package adds the rules of HTTP and Function Compute.
"""
