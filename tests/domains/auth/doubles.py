"""Stand-ins for what services are given, all in memory."""

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from domains.auth.gateway.access_tokens import AccessTokens
from domains.auth.gateway.passwords import Verification
from domains.auth.gateway.secrets import TokenKeys
from domains.auth.gateway.signing_keys import SigningKey
from domains.auth.schemas import (
    AttemptsRow,
    ClientInfo,
    FamiliarityRow,
    LogInRow,
    RegistrationRow,
    SignInRow,
    TokenRow,
)
from domains.auth.service.accounts import AccountService
from domains.auth.service.foundation import Foundation
from domains.auth.service.limits import Limits
from domains.auth.service.mails import MailService
from domains.auth.service.passwords import PasswordCheck, PasswordService
from domains.auth.service.registration import RegistrationService
from domains.auth.service.sign_in import SessionService
from domains.auth.settings import AuthSettings
from domains.users.public import Person, normalised_address

SEED = "A" * 43
CLIENT = ClientInfo(address="192.0.2.1", agent="tests")


class HeldClock:
    def __init__(self):
        self.moment = datetime(2026, 7, 1, 12, tzinfo=UTC)

    def now(self):
        return self.moment

    def move(self, **duration):
        self.moment += timedelta(**duration)


class Transactions:
    """Remembers whether one is open; what is in memory is never rolled back."""

    def __init__(self):
        self.depth = 0
        self.separate = 0

    @asynccontextmanager
    async def __call__(self, *, separate=False):
        self.depth += 1
        self.separate += separate
        try:
            yield
        finally:
            self.depth -= 1


class PlainHasher:
    """No hash at all, but it refuses to be called while a transaction is open."""

    def __init__(self, transactions):
        self.transactions = transactions
        self.calls = []

    async def hash(self, password):
        assert self.transactions.depth == 0, "a connection is held while hashing"
        self.calls.append("hash")
        return f"hash of {password}"

    async def verify(self, password, password_hash):
        assert self.transactions.depth == 0, "a connection is held while hashing"
        self.calls.append("verify")
        return Verification(matches=password_hash == f"hash of {password}")


class Erasures:
    """Records of erasures, in memory."""

    def __init__(self):
        self.recorded = []

    async def record(self, user_id):
        self.recorded.append(user_id)


class Users:
    def __init__(self):
        self.people = {}

    async def find(self, user_id):
        return self.people.get(user_id)

    async def find_by_address(self, text):
        same = (person for person in self.people.values() if person.email == text.lower())
        return next(same, None)

    async def find_or_add(self, new):
        found = await self.find_by_address(new.email)
        if found is None:
            email = normalised_address(new.email)
            found = Person(new.id, email, new.email_verified, new.name, new.locale)
            self.people[new.id] = found
        return found

    async def replace(self, user_id, *, by, name, locale):
        person = self.people.pop(user_id)
        self.people[by] = replace(person, id=by, name=name, locale=locale, email_verified=True)

    async def lock(self, user_id):
        """Nobody else is there."""


class Accounts:
    def __init__(self):
        self.accounts, self.registrations, self.tokens = {}, {}, {}
        self.known = set()

    async def find(self, user_id):
        found = self.accounts.get(user_id)
        return None if found is None else SignInRow.model_validate(found)

    async def find_to_log_in(self, user_id, network):
        found = self.accounts.get(user_id)
        is_known = (user_id, network) in self.known
        return None if found is None else LogInRow(**vars(SignInRow.model_validate(found)), is_known=is_known)

    async def add_unless_known(self, account):
        self.accounts.setdefault(account.user_id, account)

    async def add(self, model):
        kind = type(model).__name__
        if kind == "Account":
            self.accounts[model.user_id] = model
        elif kind == "Registration":
            self.registrations[model.id] = model
        else:
            self.tokens[model.token_hash] = model

    async def lock(self, user_id):
        return self.accounts.get(user_id)

    async def find_registration(self, registration_id):
        found = self.registrations.get(registration_id)
        return None if found is None else RegistrationRow.model_validate(found)

    async def pending_registrations(self, user_id):
        own = [row for row in self.registrations.values() if row.user_id == user_id]
        return [RegistrationRow.model_validate(row) for row in own[:2]]

    async def load_registration(self, registration_id):
        return self.registrations.get(registration_id)

    async def delete_registrations(self, user_id):
        self.registrations = {key: row for key, row in self.registrations.items() if row.user_id != user_id}

    async def find_token(self, token_hash, purpose):
        found = await self.lock_token(token_hash, purpose)
        return None if found is None else TokenRow.model_validate(found)

    async def lock_token(self, token_hash, purpose):
        found = self.tokens.get(token_hash)
        return found if found is not None and found.purpose == purpose else None

    async def void_tokens(self, user_id, purpose, now):
        for token in self.tokens.values():
            if token.user_id == user_id and token.purpose == purpose:
                token.used_at = token.used_at or now

    async def delete_all_of(self, user_id):
        self.accounts.pop(user_id, None)


class Sessions:
    def __init__(self, accounts):
        self.rows = {}
        self.accounts = accounts

    async def add(self, session):
        self.rows[session.id] = session
        return session

    async def lock_with_account(self, session_id):
        session = self.rows.get(session_id)
        account = self.accounts.accounts.get(session.user_id) if session else None
        return (account.status if account else None), session

    async def find(self, session_id):
        return self.rows.get(session_id)

    async def familiarity(self, session):
        earlier = [
            row for row in self.rows.values() if row.user_id == session.user_id and row.id != session.id
        ]
        alike = [row for row in earlier if (row.network, row.agent) == (session.network, session.agent)]
        return FamiliarityRow(earlier=len(earlier), alike=len(alike))

    async def end_one(self, user_id, session_id, reason, now):
        found = self.rows.get(session_id)
        if found is None or found.user_id != user_id or found.ended_at is not None:
            return False
        found.end(reason, now)
        return True

    async def end_others(self, user_id, session_id, reason, now):
        for row in self.rows.values():
            if row.user_id == user_id and row.id != session_id:
                row.end(reason, now)

    async def end_all(self, user_id, reason, now):
        await self.end_others(user_id, None, reason, now)

    async def delete_all_of(self, user_id):
        self.rows = {key: row for key, row in self.rows.items() if row.user_id != user_id}


class Attempts:
    def __init__(self):
        self.counts = {}

    async def count_one(self, kind, key, *, by=1, now, expires_at):
        row = self.counts.get((kind, key))
        if row is None or row.expires_at <= now:
            self.counts[kind, key] = AttemptsRow(count=0, expires_at=expires_at)
        return self._change(kind, key, by)

    async def find(self, kind, key, now):
        row = self.counts.get((kind, key))
        return row if row is not None and row.expires_at > now else None

    async def take_back(self, kind, key):
        self._change(kind, key, -1)

    async def reset(self, kind, key):
        if (kind, key) in self.counts:
            self._change(kind, key, -self.counts[kind, key].count)

    def _change(self, kind, key, by):
        row = self.counts[kind, key]
        self.counts[kind, key] = row.model_copy(update={"count": row.count + by})
        return self.counts[kind, key]


class AuditLog:
    def __init__(self):
        self.events = []

    async def record(self, event, *, user_id, client_info=None, session_id=None, **details):
        self.events.append(event.value)


class Outbox:
    def __init__(self):
        self.jobs, self.published = [], []

    async def enqueue(self, kind, payload, options=None):
        self.jobs.append((kind, payload))
        return uuid4()

    async def publish(self, event):
        self.published.append(event)
        return []


class Mailer:
    def __init__(self):
        self.sent = []

    def prepare(self, mail):
        return mail

    async def send(self, prepared):
        self.sent.append(prepared)
        return uuid4()


class Context:
    def __init__(self):
        self.finished = 0

    async def progress(self, current, total=None, message=None):
        pass

    async def finish(self, result=None):
        self.finished += 1


class Services:
    """All services of the domain on stand-ins."""

    def __init__(self, **settings):
        self.clock, self.transactions = HeldClock(), Transactions()
        self.users, self.accounts = Users(), Accounts()
        self.sessions = Sessions(self.accounts)
        self.audit_log, self.outbox, self.mailer = AuditLog(), Outbox(), Mailer()
        self.settings, self.key = AuthSettings(**settings), TokenKeys([SEED])
        self.hasher = PlainHasher(self.transactions)
        base = Foundation(
            settings=self.settings,
            transaction=self.transactions,
            clock=self.clock,
            outbox=self.outbox,
            users=self.users,
            accounts=self.accounts,
            sessions=self.sessions,
            audit_log=self.audit_log,
        )
        limits = Limits(
            Attempts(),
            key=self.key,
            settings=self.settings,
            transaction=self.transactions,
            clock=self.clock,
        )
        tokens = AccessTokens(
            [SigningKey.ed25519(SEED)],
            issuer="us",
            audience="tulou",
            client_id="tulou",
            clock=self.clock,
            cache_size=1,
        )
        check = PasswordCheck(base, limits=limits, hasher=self.hasher)
        self.registration = RegistrationService(base, limits=limits, hasher=self.hasher)
        self.sign_in = SessionService(
            base, limits=limits, hasher=self.hasher, key=self.key, access_tokens=tokens
        )
        self.passwords = PasswordService(base, limits=limits, hasher=self.hasher, check=check)
        self.erasers = []
        self.erasures = Erasures()
        self.account_service = AccountService(
            base, hasher=self.hasher, check=check, erasers=lambda: self.erasers, erasures=self.erasures
        )
        self.mails = MailService(base, mailer=self.mailer, links_url="https://front.example/")

    async def mail_of(self, job) -> str | None:
        """Do the mail job; return the token in its link."""
        kind, payload = job
        context = Context()
        if kind == "auth.answer_registration":
            await self.mails.answer_registration(payload.registration_id, context)
        elif kind == "auth.send_verification":
            await self.mails.send_verification(payload.user_id, context)
        else:
            await self.mails.send_reset(payload.user_id, context)
        if not context.finished:
            return None
        url = self.mailer.sent[-1].variables.get("url", "")
        return url.partition("token=")[2] or None

    def user_of(self, email) -> UUID:
        return next(person.id for person in self.users.people.values() if person.email == email)
