"""Output of the commands about people, limits and mails."""

import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from rich.table import Column

from domains.emails.schemas import EmailBody
from domains.users.schemas import AdministeredUser
from shared.cli.output import format_time, print_json, print_table


def print_people(people: Sequence[AdministeredUser], *, as_json: bool) -> None:
    """Print one line for each person."""
    if as_json:
        print_json([person.model_dump(mode="json") for person in people])
        return
    headings: list[str | Column] = [
        Column("id", no_wrap=True),
        "address",
        "verified",
        "name",
        "status",
        "role",
        "last sign-in",
        "created",
    ]
    rows = [
        [
            person.id,
            person.email,
            "yes" if person.email_verified else "no",
            person.name or "-",
            person.status,
            person.role,
            format_time(person.last_sign_in_at),
            format_time(person.created_at),
        ]
        for person in people
    ]
    print_table(headings, rows, nothing="No person matches.")


def print_facts(facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Print everything about a person."""
    if as_json:
        print_json(facts)
        return
    rows = [[name.replace("_", " "), _shown(value)] for name, value in facts.items()]
    print_table([Column("of the person", no_wrap=True), "is"], rows)


def print_act(sentence: str, now: BaseModel, *, as_json: bool) -> None:
    """Print what was done, or as JSON the new state."""
    if as_json:
        print_json(now.model_dump(mode="json"))
    else:
        sys.stdout.write(f"{sentence}\n")


def print_mails(mails: Sequence[EmailBody], *, as_json: bool) -> None:
    """Print one line for each mail."""
    if as_json:
        print_json([mail.model_dump(mode="json") for mail in mails])
        return
    headings: list[str | Column] = [
        Column("id", no_wrap=True),
        "recipient",
        "template",
        "status",
        "attempts",
        "created",
        "last reply",
    ]
    rows = [
        [
            mail.id,
            mail.recipient or "-",
            mail.template,
            mail.status.value,
            mail.attempts,
            format_time(mail.created_at),
            mail.last_reply or "-",
        ]
        for mail in mails
    ]
    print_table(headings, rows, nothing="No mail matches.")


def _shown(value: Any) -> str:
    if isinstance(value, datetime):
        return format_time(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
