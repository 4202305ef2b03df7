"""From a template to a MIME message, and to an accepted mail."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from email import message_from_bytes, policy
from email.headerregistry import Address
from enum import StrEnum
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from cryptography.fernet import Fernet
from jinja2 import UndefinedError

import domains.emails.container
from domains.emails.errors import AddressRefused, HeaderRefused, MailUnreadable
from domains.emails.gateway.null import NullTransport
from domains.emails.gateway.transport import Envelope
from domains.emails.job_types import DELIVER
from domains.emails.public import OutgoingMail, WhenUncertain
from domains.emails.service import mime
from domains.emails.service.encryption import MailEncryption
from domains.emails.service.mailer import MailerService
from domains.emails.service.mime import build_mime, mail_host, parse_recipient, sender_of
from domains.emails.service.rendering import Rendered, Renderer, in_words
from domains.emails.settings import EmailsSettings
from shared.trace import Trace, tracing
from tests.domains.emails.doubles import ENCRYPTION, Clock, Emails, Outbox, Transactions

OWN = Path(domains.emails.container.__file__).parent / "templates"
LINK = "https://app.example.com/verify-email?token=abc_DEF-123&next=/"
HTML = """{% extends "emails/layout.html" %}{% from "emails/parts.html" import button, facts %}
{% block content %}<h1>Hello {{ name }}</h1>{{ button(link, "Confirm") }}{{ facts([("From", name)]) }}{% endblock %}"""
TEXT = """{% block subject %}Hello {{ name }}{% endblock %}
{% block body %}
Hello {{ name }},

{{ link }}
{% endblock %}"""


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "hello.html").write_text(HTML)
    (tmp_path / "hello.txt").write_text(TEXT)
    (tmp_path / "hello.de.txt").write_text(TEXT.replace("Hello", "Hallo"))
    return tmp_path


@pytest.fixture
def renderer(folder) -> Renderer:
    return Renderer({"test": folder}, own_folder=OWN, product="Tulou", public_url="https://app.example.com")


def built_mime(
    rendered: Rendered | None = None, recipient: str = "ann@example.com", name: str | None = None
) -> bytes:
    return build_mime(
        rendered or Rendered("Hello", "Hello\n", "<p>Hello</p>"),
        email_id=uuid4(),
        sender=Address("Tulou", "us", "example.com"),
        recipient=parse_recipient(recipient, name),
        host="example.com",
        now=datetime(2026, 11, 23, tzinfo=UTC),
        locale=None,
    ).content


def test_html_has_its_styles_inlined_and_keeps_those_for_dark_mode(renderer):
    html = renderer.render("test/hello", {"name": "Ann", "link": LINK}).html
    assert re.search(r'<a class="button" href="[^"]+" style="[^"]*background-color', html)
    assert html.count("<style>") == 1
    assert "prefers-color-scheme: dark" in html
    assert "token=abc_DEF-123&amp;next=/" in html
    assert "{%" not in html


def test_text_carries_the_link_as_it_is(renderer):
    rendered = renderer.render("test/hello", {"name": "Ann", "link": LINK})
    assert (rendered.subject, rendered.text) == ("Hello Ann", f"Hello Ann,\n\n{LINK}\n")


@pytest.mark.parametrize(
    "name", ["{{7*7}}", "{% import os %}", "{{ self }}", "<script>alert(1)</script>", "a & b"]
)
def test_what_people_type_is_never_a_template_nor_html(renderer, name):
    rendered = renderer.render("test/hello", {"name": name, "link": LINK})
    assert rendered.subject == f"Hello {name}"
    assert name in rendered.text
    assert "<script>" not in rendered.html
    assert "49" not in rendered.subject


@pytest.mark.parametrize(
    ("locale", "greeting"), [("de", "Hallo"), ("de-AT", "Hallo"), ("de_DE", "Hallo"), ("fr", "Hello")]
)
def test_the_nearest_language_is_taken(renderer, locale, greeting):
    rendered = renderer.render("test/hello", {"name": "Ann", "link": LINK}, locale=locale)
    assert rendered.subject == f"{greeting} Ann"
    assert f'<html lang="{locale}"' in rendered.html


@pytest.mark.parametrize("locale", ["../../etc", "a/b", "..", "\0"])
def test_a_locale_leads_nowhere_else(renderer, locale):
    assert renderer.render("test/hello", {"name": "Ann", "link": LINK}, locale=locale).subject == "Hello Ann"


class Fate(StrEnum):
    GIVEN_UP = "given_up"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "\N{EN DASH}"),
        (True, "yes"),
        (False, "no"),
        (Fate.GIVEN_UP, "given up"),
        (datetime(2026, 7, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))), "30 June 2026, 22:30 UTC"),
        (date(2026, 12, 24), "24 December 2026"),
        (Decimal("73.5000"), "73.5"),
        (Decimal("1E+3"), "1000"),
        ({"color": "red", "sizes": [Decimal("1.50"), 2]}, "color: red, sizes: 1.5, 2"),
        ("as it is", "as it is"),
        (7, "7"),
    ],
)
def test_a_value_is_written_as_people_write_it(value, written):
    assert in_words(value) == written


FACTS = """facts([
  ("Due", due), ("Paid", none), ("Note", note), ("Price", amount | money("EUR")), ("Tip", none | money(none))
])"""


def test_facts_are_readable_in_both_parts_and_those_that_are_none_are_left_out(renderer, folder):
    html = '{% extends "emails/layout.html" %}{% from "emails/parts.html" import facts %}{% block content %}'
    text = '{% block subject %}Due{% endblock %}{% block body %}{% from "emails/parts.txt" import facts %}'
    (folder / "due.html").write_text(f"{html}{{{{ {FACTS} }}}}{{% endblock %}}")
    (folder / "due.txt").write_text(f"{text}Look:\n{{{{ {FACTS} }}}}{{% endblock %}}")
    told = {"due": date(2026, 7, 1), "note": "<b>", "amount": Decimal("12.50")}
    rendered = renderer.render("test/due", told)
    assert rendered.text == "Look:\n    Due: 1 July 2026\n    Note: <b>\n    Price: 12.50 EUR\n"
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", rendered.html)
    assert cells[-6:] == ["Due", "1 July 2026", "Note", "&lt;b&gt;", "Price", "12.50 EUR"]


def test_a_missing_variable_is_an_error(renderer):
    with pytest.raises(UndefinedError):
        renderer.render("test/hello", {"name": "Ann"})


@pytest.mark.parametrize("name", ["test/nothing", "nothing/hello", "test/../hello"])
def test_a_missing_template_is_an_error(renderer, name):
    with pytest.raises(LookupError):
        renderer.render(name, {})


def test_a_text_without_a_subject_is_an_error(renderer, folder):
    (folder / "bare.txt").write_text("{% block body %}{% endblock %}")
    with pytest.raises(LookupError, match="subject"):
        renderer.render("test/bare", {})


def test_a_built_mail_reads_as_it_was_written():
    text = "Grüße,\n\n.\n..\nFrom here\n" + "x" * 2000 + "\n"
    rendered = Rendered("Grüße an Ann", text, "<p>Grüße</p>\n")
    message = message_from_bytes(built_mime(rendered, name="Ann Ö, the 1st"), policy=policy.default)
    assert message["Subject"] == "Grüße an Ann"
    assert message["To"].addresses == (Address("Ann Ö, the 1st", "ann", "example.com"),)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@example.com>")
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert message.get_body(("plain",)).get_content().replace("\r\n", "\n") == text
    assert message.get_body(("html",)).get_content().replace("\r\n", "\n") == "<p>Grüße</p>\n"


def test_a_built_mail_is_plain_lines_of_ascii():
    content = built_mime(Rendered("Ünï", "a\rb\nc\r\nd\x00e" + "é" * 5000, "<p>\r\r\n</p>"), name="Ö" * 100)
    assert content.isascii()
    assert b"\x00" not in content
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998


def test_a_link_stays_readable_in_the_raw_mail():
    assert LINK.encode() in built_mime(Rendered("Hello", f"Hello\n\n{LINK}\n", "<p></p>"))


@pytest.mark.parametrize(
    "evil", ["a\r\nBcc: x@y.example", "a\nb", "a\rb", "a\x00b", "a\x1b[1mb", "a\u2028b", "a\ud800", "a" * 501]
)
def test_a_header_is_one_line_or_refused(evil):
    with pytest.raises(HeaderRefused) as caught:
        built_mime(Rendered(evil, "", ""))
    assert caught.value.status == 422
    with pytest.raises(HeaderRefused):
        built_mime(name=evil)


def test_the_serializer_refuses_what_slipped_through(monkeypatch):
    monkeypatch.setattr(mime, "one_line", lambda value: value)
    with pytest.raises(HeaderRefused):
        built_mime(Rendered("a\r\nBcc: x@y.example", "", ""))


@pytest.mark.parametrize(
    "address",
    [
        "a@b.example>\r\nRCPT TO:<x@example.com",
        "a@example.com, c@example.com",
        "Ann <a@example.com>",
        "a",
        "@example.com",
        "a@",
        "a@b@example.com",
        "a b@example.com",
        "a@example.com\n",
        "a\x00@example.com",
        '"a b"@example.com',
        "a@[127.0.0.1]",
        "a@localhost",
        "",
        " ",
        "a@example.com;b@example.com",
        "(c)a@example.com",
        "a@exa\ud800mple.com",
    ],
)
def test_a_recipient_is_exactly_one_address(address):
    with pytest.raises(AddressRefused) as caught:
        parse_recipient(address, None)
    assert caught.value.status == 422


def test_domains_outside_ascii_get_their_ascii_form():
    assert parse_recipient("ann@exämple.com", None).addr_spec == "ann@xn--exmple-cua.com"


def test_a_local_part_outside_ascii_is_written_as_it_is():
    content = built_mime(recipient="änn@example.com", name="Änn")
    assert "To: =?utf-8?b?w4Rubg==?= <änn@example.com>\r\n".encode() in content


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://mail.example.com", "mail.example.com"),
        ("https://exämple.com:8443/x", "xn--exmple-cua.com"),
        ("http://127.0.0.1:8000", "[127.0.0.1]"),
        ("http://[::1]:8000", "[IPv6:::1]"),
    ],
)
def test_we_have_a_name_for_mail_servers(url, host):
    assert mail_host(url) == host


def test_the_sender_needs_a_domain():
    settings = EmailsSettings(emails_product_name="Tulou")
    assert sender_of(settings, "[127.0.0.1]").addr_spec == "no-reply@localhost"
    assert str(sender_of(settings, "example.com")) == "Tulou <no-reply@example.com>"


def test_keys_can_be_changed():
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode().rstrip("=")
    encrypted_content = MailEncryption([old]).encrypt(b"secret")
    assert b"secret" not in encrypted_content
    assert MailEncryption([new, old]).decrypt(encrypted_content) == b"secret"
    with pytest.raises(MailUnreadable):
        MailEncryption([new]).decrypt(encrypted_content)


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


@pytest.fixture
def emails() -> Emails:
    return Emails()


def mailer(renderer, emails, outbox, **given) -> MailerService:
    host = mail_host("https://app.example.com")
    return MailerService(
        repository=emails,
        transaction=Transactions([]),
        outbox=outbox,
        clock=Clock(),
        renderer=renderer,
        encryption=ENCRYPTION,
        sender=sender_of(EmailsSettings(**given), host),
        host=host,
    )


async def test_an_accepted_mail_is_a_row_and_a_job(renderer, emails, outbox):
    owner = uuid4()
    mail = OutgoingMail(
        template="test/hello",
        to="ann@example.com",
        to_name="Ann",
        variables={"name": "Ann", "link": LINK},
        owner_id=owner,
        when_uncertain=WhenUncertain.RESEND,
        category="security",
        sensitive=True,
    )
    accepting = mailer(renderer, emails, outbox)
    with tracing(Trace("request-1")):
        email_id = await accepting.send(accepting.prepare(mail))
    row = emails.rows[email_id]
    assert (row.recipient, row.recipient_name, row.subject) == ("ann@example.com", "Ann", "Hello Ann")
    assert (row.sender, row.owner_id, row.request_id) == ("no-reply@app.example.com", owner, "request-1")
    assert (row.when_uncertain, row.category, row.sensitive) == ("resend", "security", True)
    assert b"token" not in row.frozen
    message = message_from_bytes(ENCRYPTION.decrypt(row.frozen), policy=policy.default)
    assert message["Message-ID"] == row.message_id == f"<{email_id}@app.example.com>"
    ((job, payload, options),) = outbox.jobs
    assert (job, payload.email_id, options.resource.id) == (DELIVER, email_id, email_id)
    assert options.owner_id is None, "whoever owns a job may cancel it"


def test_preparing_needs_no_database_and_shows_no_secret(renderer):
    accepting = mailer(renderer, None, None, emails_sender="The House <house@example.org>")
    mail = OutgoingMail(template="test/hello", to="ann@example.com", variables={"name": "Ann", "link": LINK})
    prepared = accepting.prepare(mail)
    assert prepared.sender == "house@example.org"
    assert isinstance(prepared.id, UUID)
    assert "token" not in repr(mail) + repr(prepared)


async def test_without_a_mail_server_mails_are_only_logged():
    transport = NullTransport()
    async with transport.open_session() as session:
        await session.send_envelope(Envelope("us@example.com", "ann@example.com", 5))
        reply = await session.deliver(b"Hello")
    await transport.stop()
    assert (reply.code, bool(transport.pause()), session.tls) == (250, False, None)
