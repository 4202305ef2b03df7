"""A mailer with its own templates, and unique addresses."""

from uuid import uuid4

import pytest

from domains.emails.container import TEMPLATES
from domains.emails.service.mailer import MailerService
from domains.emails.service.mime import sender_of
from domains.emails.service.rendering import Renderer
from domains.emails.settings import EmailsSettings


@pytest.fixture
def address() -> str:
    """An address that nobody else has."""
    return f"Reader-{uuid4().hex}@example.com"


@pytest.fixture
def mailer(app, composition, tmp_path) -> MailerService:
    """The composed mailer, but for its templates."""
    (tmp_path / "hello.html").write_text(
        '{% extends "emails/layout.html" %}{% block content %}{{ word }}{% endblock %}'
    )
    (tmp_path / "hello.txt").write_text(
        "{% block subject %}Hello{% endblock %}{% block body %}{{ word }}{% endblock %}"
    )
    emails = composition.emails
    return MailerService(
        repository=emails.repository(),
        transaction=composition.database().transaction,
        outbox=composition.jobs.outbox(),
        clock=composition.clock(),
        renderer=Renderer(
            {"test": tmp_path}, own_folder=TEMPLATES, product="Tulou", public_url="http://localhost"
        ),
        encryption=emails.encryption(),
        sender=sender_of(EmailsSettings(), "localhost"),
        host="localhost",
    )
