"""The gateway against real SMTP servers in this process, correct and hostile ones."""

import asyncio
import ssl
from pathlib import Path

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from domains.emails.gateway.smtp import SmtpGateway
from domains.emails.gateway.transport import (
    Envelope,
    OutcomeUnknown,
    ProtocolError,
    Refused,
    ServerUnreachable,
    TemporaryFailure,
)
from tests.certificates import self_signed
from tests.domains.emails.servers import (
    MAIL,
    Sink,
    ehlo_then,
    gateway,
    misbehaving,
    send,
    serving,
)


async def test_a_mail_arrives_once_with_its_envelope():
    sink = Sink()
    async with serving(sink) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}")
        reply = await send(smtp)
        await smtp.stop()
    assert (reply.code, sink.mails) == (250, [("us@example.com", ["ann@example.com"], MAIL)])


@pytest.mark.parametrize(
    "body",
    [
        b".\r\n",
        b".\r\n.\r\nMAIL FROM:<evil@example.com>\r\n",
        b"..\r\n.a\r\n...\r\n",
        b"a\r\n\r\n.\r\n\r\nb\r\n",
        b"x" * 900 + b"\r\n.\r\n",
    ],
)
async def test_lines_that_begin_with_dots_arrive_as_they_are_and_end_nothing(body):
    sink = Sink()
    content = b"Subject: dots\r\n\r\n" + body
    async with serving(sink) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}")
        await send(smtp, content)
        await smtp.stop()
    assert [mail[2] for mail in sink.mails] == [content]


@pytest.mark.parametrize("ending", [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\r\n.\r"])
async def test_bare_line_ends_smuggle_no_second_mail(ending):
    sink = Sink()
    content = b"Subject: s\r\n\r\na" + ending + b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<b@example.com>\r\n"
    received: list[bytes] = []

    async def record(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while (line := await reader.readline()) and not line.upper().startswith(b"DATA"):
            writer.write(b"250 fine\r\n")
        writer.write(b"354 go on\r\n")
        received.append(await reader.readuntil(b"\r\n.\r\n"))
        writer.write(b"250 taken\r\n")
        await reader.read(100)

    async with serving(sink) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}")
        await send(smtp, content)
        await smtp.stop()
    async with misbehaving(record) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}")
        await send(smtp, content)
        await smtp.stop()
    assert len(sink.mails) == 1
    assert sink.mails[0][2].replace(b"\r\n", b"") == content.replace(b"\r", b"").replace(b"\n", b"")
    assert b"\r" not in received[0].replace(b"\r\n", b"")
    assert b"\n" not in received[0].replace(b"\r\n", b"")


@pytest.mark.parametrize("place", ["mail", "rcpt", "data"])
@pytest.mark.parametrize(
    ("answer", "ends_as"),
    [
        ("451 later", TemporaryFailure),
        ("452 full", TemporaryFailure),
        ("550 nobody", Refused),
        ("554 spam", Refused),
    ],
)
async def test_answers_of_the_server_are_told_apart_and_the_connection_lives(place, answer, ends_as):
    sink = Sink(**{place: answer})
    async with serving(sink) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}")
        with pytest.raises(ends_as) as caught:
            await send(smtp)
        assert str(caught.value.reply) == answer
        sink.replies.clear()
        await send(smtp)
        await smtp.stop()
    assert (len(sink.mails), len(sink.connections)) == (1, 1)
    assert not smtp.pause()


@pytest.mark.parametrize("answer", ["421 closing", "530 login first", "535 wrong password", "538 TLS first"])
async def test_answers_about_ourselves_blame_no_mail(answer):
    async with serving(Sink(mail=answer)) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}")
        with pytest.raises(ServerUnreachable) as caught:
            await send(smtp)
        await smtp.stop()
    assert caught.value.answered
    assert smtp.pause()


async def test_a_server_that_is_away_is_left_alone():
    async with misbehaving(ehlo_then) as port:
        pass
    smtp = gateway(f"smtp://127.0.0.1:{port}")
    with pytest.raises(ServerUnreachable) as caught:
        await send(smtp)
    assert not caught.value.answered
    assert 0 < smtp.pause().total_seconds() <= 2


async def test_a_broken_line_after_the_last_byte_is_uncertain():
    async with misbehaving(ehlo_then) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}")
        with pytest.raises(OutcomeUnknown):
            await send(smtp)
    assert not smtp.pause()


async def test_silence_after_the_last_byte_is_uncertain():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ehlo_then(reader, writer)
        await reader.read(100)

    async with misbehaving(talk) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}", emails_data_timeout_seconds=0.2)
        with pytest.raises(OutcomeUnknown):
            await send(smtp)


async def test_an_unreadable_answer_after_the_last_byte_is_uncertain():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ehlo_then(reader, writer)
        writer.write(b"????\r\n")
        await reader.read(100)

    async with misbehaving(talk) as port:
        with pytest.raises(OutcomeUnknown):
            await send(gateway(f"smtp://127.0.0.1:{port}"))


async def test_a_line_that_breaks_in_the_envelope_blames_no_mail():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        await reader.readline()
        writer.write(b"250 fine\r\n")
        await reader.readline()

    async with misbehaving(talk) as port:
        with pytest.raises(ServerUnreachable) as caught:
            await send(gateway(f"smtp://127.0.0.1:{port}"))
    assert caught.value.answered


@pytest.mark.parametrize(
    "banner",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x16\x03\x01\x00\r\n",
        b"x" * 1_000_000,
        b"220-" + b"y\r\n220-" * 200_000,
    ],
    ids=["http", "tls", "one endless line", "endless lines"],
)
async def test_what_is_not_smtp_is_a_bounded_protocol_error(banner):
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(banner)
        await reader.read(100)

    async with misbehaving(talk) as port:
        with pytest.raises(ProtocolError) as caught:
            await send(gateway(f"smtp://127.0.0.1:{port}"))
    assert len(str(caught.value.reply)) <= 500
    assert str(caught.value.reply).isprintable()


async def test_a_bad_reply_in_the_envelope_is_a_protocol_error():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        await reader.readline()
        writer.write(b"250 fine\r\n")
        await reader.readline()
        writer.write(b"\xff\x00 what\r\n")
        await reader.read(100)

    async with misbehaving(talk) as port:
        with pytest.raises(ProtocolError) as caught:
            await send(gateway(f"smtp://127.0.0.1:{port}"))
    str(caught.value.reply).encode()


async def test_a_silent_server_is_away():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)

    async with misbehaving(talk) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}", emails_timeout_seconds=0.2)
        with pytest.raises(ServerUnreachable) as caught:
            await send(smtp)
    assert caught.value.answered
    assert smtp.pause()


@pytest.mark.parametrize("banner", [b"554 no service here\r\n", b"421 busy\r\n"])
async def test_a_server_that_does_not_let_us_in_is_away(banner):
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(banner)
        await reader.read(100)

    async with misbehaving(talk) as port:
        with pytest.raises(ServerUnreachable) as caught:
            await send(gateway(f"smtp://127.0.0.1:{port}"))
    assert str(caught.value.reply) == banner.decode().strip()


async def test_an_old_server_without_ehlo_is_served():
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 old\r\n")
        await reader.readline()
        writer.write(b"502 what\r\n")
        await ehlo_then_taken(reader, writer)

    async def ehlo_then_taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (line := await reader.readline()) and not line.upper().startswith(b"DATA"):
            writer.write(b"250 fine\r\n")
        writer.write(b"354 go on\r\n")
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 taken\r\n")
        await reader.read(100)

    async with misbehaving(talk) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}?starttls=off")
        assert (await send(smtp)).code == 250
        await smtp.stop()


async def test_addresses_outside_ascii_need_a_server_that_takes_them():
    sink = Sink()
    async with serving(sink, enable_SMTPUTF8=True) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}")
        await send(smtp, recipient="änn@example.com")
        await smtp.stop()
    assert sink.mails[0][1] == ["änn@example.com"]
    async with serving(Sink()) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}")
        with pytest.raises(Refused):
            await send(smtp, recipient="änn@example.com")
        await smtp.stop()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and its key."""
    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def tls(certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    return context


class _Login:
    def __call__(self, server, session, envelope, mechanism, data) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"tulou", b"p@ss:word"), handled=False)


async def tls_of(smtp: SmtpGateway) -> str | None:
    async with smtp.open_session() as session:
        await session.send_envelope(Envelope("us@example.com", "ann@example.com", 10))
        version = session.tls
    await smtp.stop()
    return version


async def test_starttls_is_used_where_it_is_offered_and_checked_against_our_authority(tls, certificate):
    async with serving(Sink(), tls_context=tls) as port:
        smtp = gateway(f"smtp://127.0.0.1:{port}", emails_smtp_ca_file=certificate[0])
        assert await tls_of(smtp) in {"TLSv1.2", "TLSv1.3"}
        assert await tls_of(gateway(f"smtp://127.0.0.1:{port}?verify=off")) is not None
        assert await tls_of(gateway(f"smtp://127.0.0.1:{port}?starttls=off")) is None


@pytest.mark.parametrize("scheme", ["smtp", "smtp+starttls"])
async def test_a_certificate_that_nobody_vouches_for_is_refused(tls, scheme):
    async with serving(Sink(), tls_context=tls) as port:
        with pytest.raises(ServerUnreachable) as caught:
            await send(gateway(f"{scheme}://127.0.0.1:{port}"))
    assert "certificate" in str(caught.value.reply).lower()


async def test_starttls_that_is_required_is_not_done_without():
    sink = Sink()
    async with serving(sink) as port:
        for url in (f"smtp+starttls://127.0.0.1:{port}", f"smtp://tulou:secret@127.0.0.1:{port}"):
            with pytest.raises(ServerUnreachable):
                await send(gateway(url))
    assert sink.mails == []


async def test_tls_from_the_first_byte(tls, certificate):
    sink = Sink()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(sink, loop=loop), "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    smtp = gateway(f"smtps://127.0.0.1:{port}", emails_smtp_ca_file=certificate[0])
    await send(smtp)
    assert await tls_of(smtp) is not None
    server.close()
    assert len(sink.mails) == 1


async def test_login_travels_under_tls_and_a_wrong_one_blames_no_mail(tls, certificate):
    sink = Sink()
    options = {"tls_context": tls, "authenticator": _Login(), "auth_required": True, "require_starttls": True}
    async with serving(sink, **options) as port:
        trusted = {"emails_smtp_ca_file": certificate[0]}
        smtp = gateway(f"smtp://tulou:p%40ss%3Aword@127.0.0.1:{port}", **trusted)
        await send(smtp)
        await smtp.stop()
        with pytest.raises(ServerUnreachable) as caught:
            await send(gateway(f"smtp://tulou:wrong@127.0.0.1:{port}", **trusted))
    assert caught.value.reply.code == 535
    assert "wrong" not in str(caught.value.reply)
    assert len(sink.mails) == 1
