"""The services alone, on stand-ins of what they are given: no web, no database."""

from uuid import uuid4

import pytest

from domains.auth.errors import (
    AccountNotFound,
    AddressNotVerified,
    InvalidCredentials,
    InvalidRefreshToken,
    InvalidToken,
    PasswordRefused,
    RefreshReused,
    SessionNotFound,
    TooManyAttempts,
    WrongPassword,
)
from domains.auth.schemas import ChangePasswordBody, ClientInfo, RegisterBody, ResetBody
from domains.auth.service.sign_in import LogoutScope
from shared.identity import NotAuthenticated, Principal
from tests.domains.auth.doubles import CLIENT, Context, Services

EMAIL = "ada@example.com"
PASSWORD = "correct horse battery staple"
OTHER = "another fine long password"


@pytest.fixture
def services():
    return Services()


async def _register(services, password=PASSWORD, email=EMAIL):
    await services.registration.register(RegisterBody(email=email, password=password), CLIENT)
    return services.outbox.jobs[-1]


async def _sign_in(services, password=PASSWORD, client_info=CLIENT):
    tokens = await services.sign_in.log_in(EMAIL, password, client_info)
    return tokens, Principal(services.user_of(EMAIL), tokens.session_id, frozenset())


async def test_registering_leaves_a_job_with_an_id_and_nothing_else(services):
    kind, payload = await _register(services)
    assert kind == "auth.answer_registration"
    assert payload.model_dump().keys() == {"registration_id"}
    assert services.mailer.sent == []


async def test_the_link_of_a_registration_leads_to_the_front_end(services):
    await services.mail_of(await _register(services))
    mail = services.mailer.sent[-1]
    assert mail.template == "auth/verify_email"
    assert mail.variables["url"].startswith("https://front.example/verify-email?token=")
    assert mail.variables["lifetime"] == "24 hours"
    assert mail.sensitive


async def test_verifying_adopts_the_password_of_that_registration_alone(services):
    await _register(services, OTHER)
    await _sign_in(services, OTHER)
    token = await services.mail_of(await _register(services))
    await services.registration.verify(token, CLIENT)
    await _sign_in(services)
    with pytest.raises(InvalidCredentials):
        await _sign_in(services, OTHER)
    first_session = next(iter(services.sessions.rows.values()))
    assert first_session.end_reason == "address_verified"
    (provisional,) = (row for row in services.accounts.accounts.values() if row.status == "deleting")
    assert [event.user_id for event in services.outbox.published] == [
        provisional.user_id,
        services.user_of(EMAIL),
    ]
    with pytest.raises(InvalidToken):
        await services.registration.verify(token, CLIENT)


async def test_a_registration_that_is_gone_gets_no_mail(services):
    job = await _register(services)
    services.accounts.registrations.clear()
    assert await services.mail_of(job) is None
    assert services.mailer.sent == []


async def test_a_token_whose_registration_is_gone_is_void(services):
    token = await services.mail_of(await _register(services))
    services.accounts.registrations.clear()
    with pytest.raises(InvalidToken):
        await services.registration.verify(token, CLIENT)


async def test_resending_needs_somebody_who_waits(services):
    await services.registration.resend("nobody@example.com", CLIENT)
    assert await services.mail_of(services.outbox.jobs[-1]) is None
    token = await services.mail_of(await _register(services))
    await services.registration.resend(EMAIL, CLIENT)
    again = await services.mail_of(services.outbox.jobs[-1])
    assert again not in {None, token}
    await services.registration.verify(again, CLIENT)
    await services.registration.resend(EMAIL, CLIENT)
    assert await services.mail_of(services.outbox.jobs[-1]) is None


async def test_a_common_password_is_refused_before_anything_is_counted_or_hashed(services):
    with pytest.raises(PasswordRefused):
        await _register(services, "password1")
    assert services.hasher.calls == []


async def test_unknown_wrong_and_disabled_cost_one_verification_each(services):
    await _register(services)
    services.hasher.calls.clear()
    with pytest.raises(InvalidCredentials):
        await services.sign_in.log_in("nobody@example.com", PASSWORD, CLIENT)
    with pytest.raises(InvalidCredentials):
        await _sign_in(services, OTHER)
    services.accounts.accounts[services.user_of(EMAIL)].status = "disabled"
    with pytest.raises(InvalidCredentials):
        await services.sign_in.log_in(EMAIL, PASSWORD, CLIENT)
    assert services.hasher.calls == ["verify"] * 3
    assert services.audit_log.events.count("login_failed") == 3


async def test_a_password_changed_during_a_sign_in_makes_it_fail(services):
    await _register(services)
    account = services.accounts.accounts[services.user_of(EMAIL)]
    verify = services.hasher.verify

    async def slowly(password, password_hash):
        answer = await verify(password, password_hash)
        account.set_password("hash of something else", services.clock.now())
        return answer

    services.hasher.verify = slowly
    with pytest.raises(InvalidCredentials):
        await _sign_in(services)


async def test_counters_are_kept_in_separate_transactions(services):
    await _register(services)
    before = services.transactions.separate
    with pytest.raises(InvalidCredentials):
        await _sign_in(services, OTHER)
    assert services.transactions.separate == before + 2


async def test_a_sign_in_that_fails_with_an_error_is_not_counted(services, monkeypatch):
    await _register(services)

    async def broken(password, hashed):
        raise TimeoutError

    monkeypatch.setattr(services.sign_in.hasher, "verify", broken)
    for _ in range(15):
        with pytest.raises(TimeoutError):
            await _sign_in(services)
    monkeypatch.undo()
    await _sign_in(services)


async def test_the_limit_says_when_to_come_back(services):
    for _ in range(10):
        with pytest.raises(InvalidCredentials):
            await services.sign_in.log_in(EMAIL, OTHER, CLIENT)
    services.clock.move(minutes=5)
    with pytest.raises(TooManyAttempts) as refused:
        await services.sign_in.log_in(EMAIL, OTHER, CLIENT)
    assert refused.value.retry_after == 600


async def test_unverified_addresses_stay_out_where_verified_ones_are_wanted():
    services = Services(auth_require_verified_email=True)
    token = await services.mail_of(await _register(services))
    with pytest.raises(AddressNotVerified):
        await _sign_in(services)
    await services.registration.verify(token, CLIENT)
    await _sign_in(services)


async def test_a_new_place_is_told_but_not_the_first(services):
    await services.registration.verify(await services.mail_of(await _register(services)), CLIENT)
    await _sign_in(services)
    await _sign_in(services)
    assert [kind for kind, _ in services.outbox.jobs].count("auth.tell_new_sign_in") == 0
    tokens, _ = await _sign_in(services, client_info=ClientInfo(address="198.51.100.7", agent="a phone"))
    context = Context()
    await services.mails.tell_new_sign_in(tokens.session_id, context)
    assert services.mailer.sent[-1].variables["address"] == "198.51.100.7"
    assert context.finished == 1


async def test_refresh_rotates_forgives_the_parent_and_ends_at_reuse(services):
    await _register(services)
    tokens, _ = await _sign_in(services)
    next_one = await services.sign_in.refresh(tokens.refresh_token, CLIENT)
    again = await services.sign_in.refresh(tokens.refresh_token, CLIENT)
    assert again.refresh_token == next_one.refresh_token
    services.clock.move(seconds=11)
    with pytest.raises(RefreshReused):
        await services.sign_in.refresh(tokens.refresh_token, CLIENT)
    with pytest.raises(InvalidRefreshToken):
        await services.sign_in.refresh(next_one.refresh_token, CLIENT)
    assert "refresh_reused" in services.audit_log.events


async def test_a_refresh_of_no_session_or_a_disabled_account_is_refused(services):
    await _register(services)
    tokens, _ = await _sign_in(services)
    services.accounts.accounts[services.user_of(EMAIL)].status = "disabled"
    with pytest.raises(InvalidRefreshToken):
        await services.sign_in.refresh(tokens.refresh_token, CLIENT)
    services.sessions.rows.clear()
    with pytest.raises(InvalidRefreshToken):
        await services.sign_in.refresh(tokens.refresh_token, CLIENT)


@pytest.mark.parametrize(
    ("scope", "living"), [("this", [False, True]), ("others", [True, False]), ("all", [False, False])]
)
async def test_logging_out_reaches_as_far_as_told(services, scope, living):
    await _register(services)
    _, principal = await _sign_in(services)
    await _sign_in(services)
    await services.sign_in.log_out(principal, LogoutScope(scope), CLIENT)
    assert [session.ended_at is None for session in services.sessions.rows.values()] == living


async def test_who_has_no_session_has_none_to_end(services):
    nobody = Principal(uuid4(), None, frozenset())
    with pytest.raises(SessionNotFound):
        await services.sign_in.log_out(nobody, LogoutScope.THIS, CLIENT)
    change = ChangePasswordBody(current_password=PASSWORD, new_password=OTHER)
    with pytest.raises(NotAuthenticated):
        await services.passwords.change(nobody, change, CLIENT)
    with pytest.raises(NotAuthenticated):
        await services.account_service.delete(nobody, PASSWORD, CLIENT)


async def test_a_reset_ends_everything_and_counts_as_verification(services):
    await _register(services)
    await _sign_in(services)
    await services.passwords.forgot(EMAIL, CLIENT)
    token = await services.mail_of(services.outbox.jobs[-1])
    await services.passwords.reset(ResetBody(token=token, password=OTHER), CLIENT)
    assert all(session.ended_at for session in services.sessions.rows.values())
    assert services.users.people[services.user_of(EMAIL)].email_verified
    with pytest.raises(InvalidToken):
        await services.passwords.reset(ResetBody(token=token, password=OTHER), CLIENT)
    context = Context()
    await services.mails.tell_password_changed(services.outbox.published[-1].user_id, context)
    assert services.mailer.sent[-1].template == "auth/password_changed"


async def test_a_bad_reset_token_is_refused_before_a_hash_is_made(services):
    services.hasher.calls.clear()
    with pytest.raises(InvalidToken):
        await services.passwords.reset(ResetBody(token="made up", password=OTHER), CLIENT)
    assert services.hasher.calls == []


async def test_a_reset_for_an_account_disabled_meanwhile_is_refused(services):
    await _register(services)
    await services.passwords.forgot(EMAIL, CLIENT)
    token = await services.mail_of(services.outbox.jobs[-1])
    services.accounts.accounts[services.user_of(EMAIL)].status = "disabled"
    with pytest.raises(InvalidToken):
        await services.passwords.reset(ResetBody(token=token, password=OTHER), CLIENT)
    await services.passwords.forgot(EMAIL, CLIENT)
    assert await services.mail_of(services.outbox.jobs[-1]) is None


async def test_a_reset_for_somebody_erased_meanwhile_is_refused(services):
    await _register(services)
    await services.passwords.forgot(EMAIL, CLIENT)
    token = await services.mail_of(services.outbox.jobs[-1])
    services.users.people.clear()
    with pytest.raises(InvalidToken):
        await services.passwords.reset(ResetBody(token=token, password=OTHER), CLIENT)


async def test_changing_a_password_that_was_just_changed_fails(services):
    await _register(services)
    _, principal = await _sign_in(services)
    account = services.accounts.accounts[principal.user_id]
    make = services.hasher.hash

    async def slowly(password):
        account.set_password("hash of a thief's", services.clock.now())
        return await make(password)

    services.hasher.hash = slowly
    change = ChangePasswordBody(current_password=PASSWORD, new_password=OTHER)
    with pytest.raises(WrongPassword):
        await services.passwords.change(principal, change, CLIENT)


async def test_an_account_is_erased_by_every_eraser_and_deleted_last(services):
    await _register(services)
    _, principal = await _sign_in(services)
    purged = []

    class Eraser:
        async def purge(self, owner_id):
            assert owner_id in services.accounts.accounts
            purged.append(owner_id)

    services.erasers = [Eraser(), Eraser()]
    context = Context()
    await services.account_service.purge(principal.user_id, context)
    assert purged == []
    await services.account_service.delete(principal, PASSWORD, CLIENT)
    await services.account_service.purge(principal.user_id, context)
    assert purged == [principal.user_id] * 2
    assert principal.user_id not in services.accounts.accounts
    assert services.sessions.rows == {}
    assert context.finished == 1


async def test_an_account_is_deleted_once(services):
    await _register(services)
    _, principal = await _sign_in(services)
    confirm = services.account_service.check.confirm

    async def confirmed(*arguments):
        found = await confirm(*arguments)
        services.accounts.accounts.clear()
        return found

    services.account_service.check.confirm = confirmed
    with pytest.raises(AccountNotFound):
        await services.account_service.delete(principal, PASSWORD, CLIENT)
