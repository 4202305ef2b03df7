"""What the database holds while it is measured: people who are signed in, and one who keeps 100,000 files."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import asyncpg

from bootstrap.container import TulouContainer
from tools.bench.notes import SCHEMA

PEOPLE = 200
FILES = 100_000
OTHER_FILES = 100_000
"""Files of the other users."""

PASSWORD = "a quiet house of earth 7"  # noqa: S105  # of people who are made up
COLLECTOR = 0
"""Which of the people keeps the 100,000 files."""

_PEOPLE = """
INSERT INTO users.users (id, email, email_normalised, email_verified_at, name, locale, created_at, updated_at, revision)
SELECT bench.person(n), format('person%s@example.com', n), format('person%s@example.com', n), now(),
       format('Person Number %s', n), 'en', now(), now(), 1 FROM generate_series(0, $1::int - 1) n
"""
_ACCOUNTS = """
INSERT INTO auth.accounts (user_id, password_hash, credentials_version, status, role, scopes, created_at, updated_at)
SELECT bench.person(n), $2, 1, 'active', 'user', '[]', now(), now() FROM generate_series(0, $1::int - 1) n
"""
_SESSIONS = """
INSERT INTO auth.sessions (id, user_id, counter, rotated_at, created_at, last_used_at, idle_expires_at,
                           absolute_expires_at, address, network, agent)
SELECT bench.session(n), bench.person(n), 0, now(), now(), now(), now() + interval '30 days',
       now() + interval '90 days', '127.0.0.1', '127.0.0.0/24', 'bench' FROM generate_series(0, $1::int - 1) n
"""
_BLOB = """
INSERT INTO files.blobs (sha256, size, storage_key, copies) VALUES (repeat('ab', 32), 1000, 'blobs/none', $1::int)
"""
_FILES = """
INSERT INTO files.files (id, owner_id, name, size, content_type, declared_content_type, sha256, reserved, status, facts,
                         client_metadata, tags, revision, created_at, updated_at)
SELECT gen_random_uuid(), bench.person(CASE WHEN n < $1::int THEN 0 ELSE 1 + n % 100 END),
       format('holiday picture %s.jpg', n), 1000 + n, 'image/jpeg', 'image/jpeg', repeat('ab', 32), 0, 'ready',
       '{"width": 4000, "height": 3000}', '{"album": "summer"}', '{holiday,family}', 1,
       now() - n * interval '1 second', now() FROM generate_series(0, $2::int - 1) n
"""
_FUNCTIONS = """
CREATE FUNCTION bench.person(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
CREATE FUNCTION bench.session(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-4000-9000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
"""


@dataclass(frozen=True)
class People:
    """Who is there: an access token and an address for each."""

    tokens: list[str]
    addresses: list[str]


async def seed(superuser_url: str, container: TulouContainer) -> People:
    """Fill a migrated database."""
    password_hash = await container.auth.hasher().hash(PASSWORD)
    connection = await asyncpg.connect(superuser_url)
    try:
        await connection.execute(SCHEMA)
        await connection.execute(_FUNCTIONS)
        await connection.execute(_PEOPLE, PEOPLE)
        await connection.execute(_ACCOUNTS, PEOPLE, password_hash)
        await connection.execute(_SESSIONS, PEOPLE)
        await connection.execute(_BLOB, FILES + OTHER_FILES)
        await connection.execute(_FILES, FILES, FILES + OTHER_FILES)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
    expires_at = datetime.now(UTC) + timedelta(hours=2)
    tokens = container.auth.access_tokens()
    return People(
        tokens=[
            tokens.issue(
                UUID(f"00000000-0000-4000-8000-{number:012x}"),
                UUID(f"00000000-0000-4000-9000-{number:012x}"),
                expires_at=expires_at,
            )
            for number in range(PEOPLE)
        ],
        addresses=[f"person{number}@example.com" for number in range(PEOPLE)],
    )
