"""HTTP trigger: the API that the front end calls."""

from functools import partial

from cors import cors_headers
from routes import ROUTES
from routing import answer
from shared import bootstrap
from shared.fc.entrypoints import http_entrypoint

handler = http_entrypoint(partial(answer, ROUTES), sweep=bootstrap.sweep_temp_folder, headers_of=cors_headers)

# Without keys for tokens there is no API: the instance fails here, before it answers anything.
bootstrap.token_verifier()
