"""Run the migrations against DATABASE_URL: ``alembic -c migrations/alembic.ini upgrade head``."""

from alembic import context
from sqlalchemy import create_engine, make_url

from shared.adapters.sql.database import tls_arguments
from shared.domain.errors import ConfigurationError
from shared.settings import DatabaseSettings

try:
    config = DatabaseSettings.read()
    tls = config.tls()
except ConfigurationError as error:
    raise SystemExit(str(error)) from error

# The URL's options have the same meaning as for the functions; SQLAlchemy must not interpret them.
url = make_url(config.url.get_secret_value()).set(query={})
engine = create_engine(url, connect_args=tls_arguments(tls) if url.get_backend_name() == "mysql" else {})
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
