"""HTTP trigger: the API that the front end calls."""

from functools import partial

from routes import ROUTES
from routing import answer, cors_headers
from shared import bootstrap
from shared.fc.entrypoints import http_entrypoint

handler = http_entrypoint(partial(answer, ROUTES), headers_of=cors_headers)

# Without keys for tokens there is no API: the instance fails here, before it answers anything.
bootstrap.token_verifier()
