"""Run the migrations against DATABASE_URL: ``alembic -c migrations/alembic.ini upgrade head``."""

import os

from alembic import context
from sqlalchemy import create_engine

url = os.environ.get("DATABASE_URL", "")
if not url:
    raise SystemExit("DATABASE_URL is not set, for example mysql+pymysql://user:password@host:3306/dream_factory")

engine = create_engine(url)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
