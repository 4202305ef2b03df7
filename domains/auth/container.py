"""What the auth domain depends on and what it exports."""

from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

from dependency_injector import containers, providers

from domains.auth import tasks as tasks_module
from domains.auth.gateway.access_tokens import AccessTokens
from domains.auth.gateway.passwords import PasswordHasher
from domains.auth.gateway.secrets import TokenKeys
from domains.auth.gateway.signing_keys import key_ring
from domains.auth.repository.accounts import AccountRepository
from domains.auth.repository.allowances import AllowanceRepository
from domains.auth.repository.attempts import AttemptRepository
from domains.auth.repository.events import EventRepository
from domains.auth.repository.sessions import SessionRepository
from domains.auth.router import accounts as accounts_routes
from domains.auth.router import allowances as allowances_routes
from domains.auth.router import events as events_routes
from domains.auth.router import pages as pages_routes
from domains.auth.router import passwords as passwords_routes
from domains.auth.router import registration as registration_routes
from domains.auth.router import sessions as sessions_routes
from domains.auth.router import tokens as tokens_routes
from domains.auth.service.account_lifecycle import AccountLifecycle
from domains.auth.service.account_state import AccountState
from domains.auth.service.accounts import AccountService
from domains.auth.service.administration import AdministrationService
from domains.auth.service.allowances import AllowanceCache, AllowanceService
from domains.auth.service.audit_log import AuditLog
from domains.auth.service.authenticator import TokenAuthenticator
from domains.auth.service.events import EventService
from domains.auth.service.housekeeping import Housekeeping
from domains.auth.service.keyed_lock import KeyedLock
from domains.auth.service.limits import Limits
from domains.auth.service.lockouts import LockoutService
from domains.auth.service.mails import MailService
from domains.auth.service.measuring import AuthMeasures
from domains.auth.service.passwords import PasswordCheck, PasswordService
from domains.auth.service.recovery import AccountRecovery
from domains.auth.service.registration import RegistrationService
from domains.auth.service.sessions import SessionService
from domains.auth.service.sign_in import SignInService
from domains.emails.public import Mailer
from domains.files.public import ErasureRecords
from domains.users.public import UserDirectory


class AuthContainer(containers.DeclarativeContainer):
    """Sign-in: accounts, sessions, tokens, limits and the audit log."""

    core = providers.DependenciesContainer()
    users: providers.Dependency[UserDirectory] = providers.Dependency()
    mailer: providers.Dependency[Mailer] = providers.Dependency()
    erasures: providers.Dependency[ErasureRecords] = providers.Dependency()

    account_repository = providers.ThreadSafeSingleton(AccountRepository, core.database)
    allowance_repository = providers.ThreadSafeSingleton(AllowanceRepository, core.database)
    session_repository = providers.ThreadSafeSingleton(SessionRepository, core.database)
    attempt_repository = providers.ThreadSafeSingleton(AttemptRepository, core.database)
    event_repository = providers.ThreadSafeSingleton(EventRepository, core.database)

    hasher = providers.ThreadSafeSingleton(PasswordHasher, core.settings)
    key = providers.ThreadSafeSingleton(TokenKeys, core.settings.provided.plain_token_keys)
    access_tokens = providers.ThreadSafeSingleton(
        AccessTokens,
        providers.Callable(
            key_ring,
            core.settings.provided.plain_signing_keys,
            core.settings.provided.plain_signing_keys_es256,
            algorithm=core.settings.provided.auth_signing_algorithm,
        ),
        issuer=core.settings.provided.public_url,
        audience=core.settings.provided.auth_audience,
        client_id=core.settings.provided.auth_client_id,
        clock=core.clock,
        cache_size=core.settings.provided.auth_token_cache,
    )

    audit_log = providers.ThreadSafeSingleton(AuditLog, events=event_repository, clock=core.clock)
    keyed_lock = providers.ThreadSafeSingleton(
        KeyedLock,
        waiting=core.settings.provided.auth_login_waiting,
        seconds=core.settings.provided.auth_login_wait,
    )

    # What several services are given.
    timed: ClassVar[dict[str, Any]] = {"transaction": core.transaction, "clock": core.clock}
    logged: ClassVar[dict[str, Any]] = {"audit_log": audit_log, "outbox": core.outbox}
    stored: ClassVar[dict[str, Any]] = {
        "accounts": account_repository,
        "sessions": session_repository,
        "users": users,
    }

    limits = providers.ThreadSafeSingleton(
        Limits, attempts=attempt_repository, key=key, keyed_lock=keyed_lock, settings=core.settings, **timed
    )
    lifecycle = providers.ThreadSafeSingleton(AccountLifecycle, clock=core.clock, **stored, **logged)
    password_check = providers.ThreadSafeSingleton(
        PasswordCheck,
        accounts=account_repository,
        limits=limits,
        hasher=hasher,
        audit_log=audit_log,
        transaction=core.transaction,
    )
    registration = providers.ThreadSafeSingleton(
        RegistrationService,
        accounts=account_repository,
        users=users,
        lifecycle=lifecycle,
        limits=limits,
        hasher=hasher,
        **logged,
        **timed,
    )
    sign_in = providers.ThreadSafeSingleton(
        SignInService,
        limits=limits,
        hasher=hasher,
        key=key,
        access_tokens=access_tokens,
        settings=core.settings,
        **stored,
        **logged,
        **timed,
    )
    sessions = providers.ThreadSafeSingleton(
        SessionService,
        accounts=account_repository,
        sessions=session_repository,
        key=key,
        access_tokens=access_tokens,
        audit_log=audit_log,
        **timed,
    )
    passwords = providers.ThreadSafeSingleton(
        PasswordService,
        lifecycle=lifecycle,
        check=password_check,
        limits=limits,
        hasher=hasher,
        **stored,
        **logged,
        **timed,
    )
    accounts = providers.ThreadSafeSingleton(
        AccountService,
        lifecycle=lifecycle,
        check=password_check,
        hasher=hasher,
        erasers=core.erasers,
        erasures=erasures,
        **stored,
        **logged,
        **timed,
    )
    mails = providers.ThreadSafeSingleton(
        MailService,
        mailer=mailer,
        links_url=core.settings.provided.links_url,
        settings=core.settings,
        **stored,
        **timed,
    )
    administration = providers.ThreadSafeSingleton(
        AdministrationService, lifecycle=lifecycle, mails=mails, **stored, **logged, **timed
    )
    lockouts = providers.ThreadSafeSingleton(
        LockoutService,
        sessions=session_repository,
        users=users,
        limits=limits,
        audit_log=audit_log,
        transaction=core.transaction,
    )
    quotas = providers.ThreadSafeSingleton(
        AllowanceCache, rows=allowance_repository, seconds=core.settings.provided.auth_limits_refresh
    )
    allowance_cache = quotas
    allowances = providers.ThreadSafeSingleton(
        AllowanceService,
        accounts=account_repository,
        rows=allowance_repository,
        cache=quotas,
        audit_log=audit_log,
        **timed,
    )
    events = providers.ThreadSafeSingleton(EventService, events=event_repository, clock=core.clock)
    housekeeping = providers.ThreadSafeSingleton(
        Housekeeping,
        lifecycle=lifecycle,
        attempts=attempt_repository,
        events=event_repository,
        audit_log=audit_log,
        settings=core.settings,
        **stored,
        **timed,
    )
    account_directory = providers.ThreadSafeSingleton(
        AccountState, accounts=account_repository, clock=core.clock
    )
    account_lock = account_directory
    recovery = providers.ThreadSafeSingleton(
        AccountRecovery,
        accounts=account_repository,
        sessions=session_repository,
        erasers=core.erasers,
        erasures=erasures,
        **timed,
    )
    authenticator = providers.ThreadSafeSingleton(
        TokenAuthenticator,
        access_tokens=access_tokens,
        sessions=session_repository,
        audit_log=audit_log,
        stamp_interval=providers.Callable(timedelta, seconds=core.settings.provided.auth_stamp_interval),
        **timed,
    )

    routers = providers.Object(
        [
            registration_routes.router,
            sessions_routes.router,
            tokens_routes.router,
            tokens_routes.well_known,
            passwords_routes.router,
            accounts_routes.router,
            allowances_routes.router,
            events_routes.router,
            pages_routes.router,
        ]
    )
    tasks = providers.Object(tasks_module)
    measures = providers.ThreadSafeSingleton(AuthMeasures, audit_log=audit_log, limits=limits)
    templates = providers.Object(Path(__file__).parent / "templates")
