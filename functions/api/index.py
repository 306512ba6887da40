"""HTTP trigger: the API that the front end calls."""

from functools import partial

from cors import Cors
from routes import ROUTES
from routing import answer
from shared import bootstrap
from shared.fc.entrypoints import http_entrypoint

cors = Cors(bootstrap.cors_origins())
handler = http_entrypoint(partial(answer, ROUTES, cors), sweep=bootstrap.sweep_temp_folder, headers_of=cors.headers)

# The API cannot work without keys for tokens: without them the instance fails here, before its first answer.
bootstrap.access_ports()
