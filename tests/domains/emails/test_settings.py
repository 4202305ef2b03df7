"""Addresses of mail servers and senders, as operators write them."""

import pytest
from pydantic import ValidationError

from domains.emails.settings import EmailsSettings, parse_sender, parse_smtp_url


@pytest.mark.parametrize(
    ("url", "port", "tls", "starttls"),
    [
        ("smtp://mail.example.com", 25, False, "auto"),
        ("smtp://mail.example.com:2525?starttls=off", 2525, False, "off"),
        ("smtp://mail.example.com?starttls=required", 25, False, "required"),
        ("smtp://ann:secret@mail.example.com", 25, False, "required"),
        ("smtp://ann:secret@mail.example.com?starttls=off", 25, False, "off"),
        ("smtp+starttls://mail.example.com/", 587, False, "required"),
        ("smtps://mail.example.com", 465, True, "auto"),
        ("smtp://[::1]:25", 25, False, "auto"),
    ],
)
def test_an_address_says_how_to_connect(url, port, tls, starttls):
    server = parse_smtp_url(url)
    assert (server.port, server.tls, server.starttls, server.verify) == (port, tls, starttls, True)


def test_names_and_passwords_are_decoded_and_hidden():
    server = parse_smtp_url("smtps://ann%40example.com:p%3A%2Fs@mail.example.com?verify=off")
    assert (server.username, server.password.get_secret_value(), server.verify) == (
        "ann@example.com",
        "p:/s",
        False,
    )
    assert "p:/s" not in repr(server)


@pytest.mark.parametrize(
    "url",
    [
        "http://mail.example.com",
        "mail.example.com:25",
        "smtp://",
        "smtp://:25",
        "smtp://h:port",
        "smtp://h:0",
        "smtp://h:65536",
        "smtp://h/path",
        "smtp://h?starttls=maybe",
        "smtp://h?verify=no",
        "smtp://h?tls=1",
        "smtp://u:secret@h#x",
    ],
)
def test_a_wrong_address_is_a_sentence_without_the_password(url):
    with pytest.raises(ValidationError) as caught:
        EmailsSettings(emails_smtp_url=url)
    (problem,) = caught.value.errors(include_input=False)
    assert problem["msg"].endswith(".")
    assert "secret" not in problem["msg"]


@pytest.mark.parametrize(
    "sender",
    ["us@example.com", "The House <us@example.com>", '"House, The" <us@example.com>', "Häuser <us@x.de>"],
)
def test_senders(sender):
    assert EmailsSettings(emails_sender=sender).emails_sender == sender
    assert parse_sender(sender).username == "us"


@pytest.mark.parametrize(
    "sender",
    [
        *("", "us", "us@", "a@b, c@d", "us@example.com\r\nBcc: x@y", "us@exämple.com", "a b@c"),
        *('"u s"@example.com', "a\u202eb <us@example.com>", "x" * 250 + " <us@example.com>"),
    ],
)
def test_a_wrong_sender_is_refused(sender):
    with pytest.raises(ValidationError):
        EmailsSettings(emails_sender=sender)


@pytest.mark.parametrize("name", ["", "a\nb", "a\u202eb", "\u200d", "x" * 101])
def test_a_product_has_a_name_that_mails_can_show(name):
    with pytest.raises(ValidationError):
        EmailsSettings(emails_product_name=name)
    assert EmailsSettings(emails_product_name="شب\u200cنم").emails_product_name == "شب\u200cنم"


def test_an_empty_address_means_no_mail_server():
    assert EmailsSettings(emails_smtp_url="").emails_smtp_url is None
