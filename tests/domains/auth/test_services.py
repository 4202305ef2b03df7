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
from domains.auth.schemas import ChangePasswordBody, RegisterBody, ResetBody, Visitor
from domains.auth.service.sign_in import LogoutScope
from shared.identity import NotAuthenticated, Principal
from tests.domains.auth.doubles import VISITOR, Context, House

EMAIL = "ada@example.com"
PASSWORD = "correct horse battery staple"
OTHER = "another fine long password"


@pytest.fixture
def house():
    return House()


async def _register(house, password=PASSWORD, email=EMAIL):
    await house.registration.register(RegisterBody(email=email, password=password), VISITOR)
    return house.outbox.jobs[-1]


async def _sign_in(house, password=PASSWORD, visitor=VISITOR):
    tokens = await house.sign_in.log_in(EMAIL, password, visitor)
    return tokens, Principal(house.user_of(EMAIL), tokens.session_id, frozenset())


async def test_registering_leaves_a_job_with_an_id_and_nothing_else(house):
    kind, payload = await _register(house)
    assert kind == "auth.answer_registration"
    assert payload.model_dump().keys() == {"registration_id"}
    assert house.mailer.sent == []


async def test_the_link_of_a_registration_leads_to_the_front_end(house):
    await house.mail_of(await _register(house))
    mail = house.mailer.sent[-1]
    assert mail.template == "auth/verify_email"
    assert mail.variables["url"].startswith("https://front.example/verify-email?token=")
    assert mail.variables["lifetime"] == "24 hours"
    assert mail.sensitive


async def test_verifying_adopts_the_password_of_that_registration_alone(house):
    await _register(house, OTHER)
    await _sign_in(house, OTHER)
    token = await house.mail_of(await _register(house))
    await house.registration.verify(token, VISITOR)
    await _sign_in(house)
    with pytest.raises(InvalidCredentials):
        await _sign_in(house, OTHER)
    first_session = next(iter(house.sessions.rows.values()))
    assert first_session.end_reason == "address_verified"
    (provisional,) = (row for row in house.accounts.accounts.values() if row.status == "deleting")
    assert [event.user_id for event in house.outbox.published] == [
        provisional.user_id,
        house.user_of(EMAIL),
    ]
    with pytest.raises(InvalidToken):
        await house.registration.verify(token, VISITOR)


async def test_a_registration_that_is_gone_gets_no_mail(house):
    job = await _register(house)
    house.accounts.registrations.clear()
    assert await house.mail_of(job) is None
    assert house.mailer.sent == []


async def test_a_token_whose_registration_is_gone_is_void(house):
    token = await house.mail_of(await _register(house))
    house.accounts.registrations.clear()
    with pytest.raises(InvalidToken):
        await house.registration.verify(token, VISITOR)


async def test_resending_needs_somebody_who_waits(house):
    await house.registration.resend("nobody@example.com", VISITOR)
    assert await house.mail_of(house.outbox.jobs[-1]) is None
    token = await house.mail_of(await _register(house))
    await house.registration.resend(EMAIL, VISITOR)
    again = await house.mail_of(house.outbox.jobs[-1])
    assert again not in {None, token}
    await house.registration.verify(again, VISITOR)
    await house.registration.resend(EMAIL, VISITOR)
    assert await house.mail_of(house.outbox.jobs[-1]) is None


async def test_a_common_password_is_refused_before_anything_is_counted_or_hashed(house):
    with pytest.raises(PasswordRefused):
        await _register(house, "password1")
    assert house.hasher.calls == []


async def test_unknown_wrong_and_disabled_cost_one_verification_each(house):
    await _register(house)
    house.hasher.calls.clear()
    with pytest.raises(InvalidCredentials):
        await house.sign_in.log_in("nobody@example.com", PASSWORD, VISITOR)
    with pytest.raises(InvalidCredentials):
        await _sign_in(house, OTHER)
    house.accounts.accounts[house.user_of(EMAIL)].status = "disabled"
    with pytest.raises(InvalidCredentials):
        await house.sign_in.log_in(EMAIL, PASSWORD, VISITOR)
    assert house.hasher.calls == ["verify"] * 3
    assert house.trail.events.count("login_failed") == 3


async def test_a_password_changed_during_a_sign_in_makes_it_fail(house):
    await _register(house)
    account = house.accounts.accounts[house.user_of(EMAIL)]
    verify = house.hasher.verify

    async def slowly(password, password_hash):
        answer = await verify(password, password_hash)
        account.set_password("hash of something else", house.clock.now())
        return answer

    house.hasher.verify = slowly
    with pytest.raises(InvalidCredentials):
        await _sign_in(house)


async def test_counters_are_kept_in_transactions_of_their_own(house):
    await _register(house)
    before = house.transactions.own
    with pytest.raises(InvalidCredentials):
        await _sign_in(house, OTHER)
    assert house.transactions.own == before + 2


async def test_a_sign_in_that_breaks_off_gives_its_turn_back(house, monkeypatch):
    await _register(house)

    async def broken(password, hashed):
        raise TimeoutError

    monkeypatch.setattr(house.sign_in.hasher, "verify", broken)
    for _ in range(15):
        with pytest.raises(TimeoutError):
            await _sign_in(house)
    monkeypatch.undo()
    await _sign_in(house)


async def test_the_limit_says_when_to_come_back(house):
    for _ in range(10):
        with pytest.raises(InvalidCredentials):
            await house.sign_in.log_in(EMAIL, OTHER, VISITOR)
    house.clock.move(minutes=5)
    with pytest.raises(TooManyAttempts) as refused:
        await house.sign_in.log_in(EMAIL, OTHER, VISITOR)
    assert refused.value.retry_after == 600


async def test_unverified_addresses_stay_out_where_verified_ones_are_wanted():
    house = House(auth_require_verified_email=True)
    token = await house.mail_of(await _register(house))
    with pytest.raises(AddressNotVerified):
        await _sign_in(house)
    await house.registration.verify(token, VISITOR)
    await _sign_in(house)


async def test_a_new_place_is_told_but_not_the_first(house):
    await house.registration.verify(await house.mail_of(await _register(house)), VISITOR)
    await _sign_in(house)
    await _sign_in(house)
    assert [kind for kind, _ in house.outbox.jobs].count("auth.tell_new_sign_in") == 0
    tokens, _ = await _sign_in(house, visitor=Visitor(address="198.51.100.7", agent="a phone"))
    context = Context()
    await house.mails.tell_new_sign_in(tokens.session_id, context)
    assert house.mailer.sent[-1].variables["address"] == "198.51.100.7"
    assert context.finished == 1


async def test_refresh_rotates_forgives_the_parent_and_ends_at_reuse(house):
    await _register(house)
    tokens, _ = await _sign_in(house)
    next_one = await house.sign_in.refresh(tokens.refresh_token, VISITOR)
    again = await house.sign_in.refresh(tokens.refresh_token, VISITOR)
    assert again.refresh_token == next_one.refresh_token
    house.clock.move(seconds=11)
    with pytest.raises(RefreshReused):
        await house.sign_in.refresh(tokens.refresh_token, VISITOR)
    with pytest.raises(InvalidRefreshToken):
        await house.sign_in.refresh(next_one.refresh_token, VISITOR)
    assert "refresh_reused" in house.trail.events


async def test_a_refresh_of_no_session_or_a_disabled_account_is_refused(house):
    await _register(house)
    tokens, _ = await _sign_in(house)
    house.accounts.accounts[house.user_of(EMAIL)].status = "disabled"
    with pytest.raises(InvalidRefreshToken):
        await house.sign_in.refresh(tokens.refresh_token, VISITOR)
    house.sessions.rows.clear()
    with pytest.raises(InvalidRefreshToken):
        await house.sign_in.refresh(tokens.refresh_token, VISITOR)


@pytest.mark.parametrize(
    ("scope", "living"), [("this", [False, True]), ("others", [True, False]), ("all", [False, False])]
)
async def test_logging_out_reaches_as_far_as_told(house, scope, living):
    await _register(house)
    _, principal = await _sign_in(house)
    await _sign_in(house)
    await house.sign_in.log_out(principal, LogoutScope(scope), VISITOR)
    assert [session.ended_at is None for session in house.sessions.rows.values()] == living


async def test_who_has_no_session_has_none_to_end(house):
    nobody = Principal(uuid4(), None, frozenset())
    with pytest.raises(SessionNotFound):
        await house.sign_in.log_out(nobody, LogoutScope.THIS, VISITOR)
    change = ChangePasswordBody(current_password=PASSWORD, new_password=OTHER)
    with pytest.raises(NotAuthenticated):
        await house.passwords.change(nobody, change, VISITOR)
    with pytest.raises(NotAuthenticated):
        await house.account_service.delete(nobody, PASSWORD, VISITOR)


async def test_a_reset_ends_everything_and_counts_as_verification(house):
    await _register(house)
    await _sign_in(house)
    await house.passwords.forgot(EMAIL, VISITOR)
    token = await house.mail_of(house.outbox.jobs[-1])
    await house.passwords.reset(ResetBody(token=token, password=OTHER), VISITOR)
    assert all(session.ended_at for session in house.sessions.rows.values())
    assert house.users.people[house.user_of(EMAIL)].email_verified
    with pytest.raises(InvalidToken):
        await house.passwords.reset(ResetBody(token=token, password=OTHER), VISITOR)
    context = Context()
    await house.mails.tell_password_changed(house.outbox.published[-1].user_id, context)
    assert house.mailer.sent[-1].template == "auth/password_changed"


async def test_a_bad_reset_token_is_refused_before_a_hash_is_made(house):
    house.hasher.calls.clear()
    with pytest.raises(InvalidToken):
        await house.passwords.reset(ResetBody(token="made up", password=OTHER), VISITOR)
    assert house.hasher.calls == []


async def test_a_reset_for_an_account_disabled_meanwhile_is_refused(house):
    await _register(house)
    await house.passwords.forgot(EMAIL, VISITOR)
    token = await house.mail_of(house.outbox.jobs[-1])
    house.accounts.accounts[house.user_of(EMAIL)].status = "disabled"
    with pytest.raises(InvalidToken):
        await house.passwords.reset(ResetBody(token=token, password=OTHER), VISITOR)
    await house.passwords.forgot(EMAIL, VISITOR)
    assert await house.mail_of(house.outbox.jobs[-1]) is None


async def test_a_reset_for_somebody_erased_meanwhile_is_refused(house):
    await _register(house)
    await house.passwords.forgot(EMAIL, VISITOR)
    token = await house.mail_of(house.outbox.jobs[-1])
    house.users.people.clear()
    with pytest.raises(InvalidToken):
        await house.passwords.reset(ResetBody(token=token, password=OTHER), VISITOR)


async def test_changing_a_password_that_was_just_changed_fails(house):
    await _register(house)
    _, principal = await _sign_in(house)
    account = house.accounts.accounts[principal.user_id]
    make = house.hasher.hash

    async def slowly(password):
        account.set_password("hash of a thief's", house.clock.now())
        return await make(password)

    house.hasher.hash = slowly
    change = ChangePasswordBody(current_password=PASSWORD, new_password=OTHER)
    with pytest.raises(WrongPassword):
        await house.passwords.change(principal, change, VISITOR)


async def test_an_account_is_erased_by_every_keeper_and_goes_last(house):
    await _register(house)
    _, principal = await _sign_in(house)
    purged = []

    class Keeper:
        async def purge(self, owner_id):
            assert owner_id in house.accounts.accounts
            purged.append(owner_id)

    house.keepers = [Keeper(), Keeper()]
    context = Context()
    await house.account_service.purge(principal.user_id, context)
    assert purged == []
    await house.account_service.delete(principal, PASSWORD, VISITOR)
    await house.account_service.purge(principal.user_id, context)
    assert purged == [principal.user_id] * 2
    assert principal.user_id not in house.accounts.accounts
    assert house.sessions.rows == {}
    assert context.finished == 1


async def test_an_account_is_deleted_once(house):
    await _register(house)
    _, principal = await _sign_in(house)
    confirm = house.account_service.check.confirm

    async def confirmed(*arguments):
        found = await confirm(*arguments)
        house.accounts.accounts.clear()
        return found

    house.account_service.check.confirm = confirmed
    with pytest.raises(AccountNotFound):
        await house.account_service.delete(principal, PASSWORD, VISITOR)
