"""The small pages that links in mails lead to, where no front end is set.

They act on a click, never on being opened: mail scanners open every link.
"""

import base64
import hashlib
from pathlib import Path
from typing import Annotated, Any

from fastapi import Form
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ValidationError

from domains.auth.errors import InvalidToken
from domains.auth.router.client_info import Client, Passwords, Registrations
from domains.auth.schemas.accounts import AddressRequest, PasswordReset, VerificationRequest
from shared.errors import AppError
from shared.http.routing import Router

router = Router(tags=["pages"])

_FOLDER = Path(__file__).parent.parent / "templates" / "pages"
_STYLE = (_FOLDER / "style.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
}
_PAGES = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, auto_reload=False
)
_PAGES.globals["style"] = _STYLE


class _VerifyForm(BaseModel):
    token: str = ""


class _ResetForm(BaseModel):
    token: str = ""
    password: str = ""


class _ForgotForm(BaseModel):
    email: str = ""


@router.get("/verify-email", include_in_schema=False)
async def show_verify_email(token: str = "") -> HTMLResponse:
    """Ask for the click that verifies an address."""
    return _page("verify_email.html", token=token)


@router.post("/verify-email", include_in_schema=False)
async def submit_verify_email(
    form: Annotated[_VerifyForm, Form()], registrations: Registrations, client_info: Client
) -> HTMLResponse:
    """Verify an address."""
    try:
        await registrations.verify(VerificationRequest(token=form.token).token, client_info)
    except (AppError, ValidationError) as error:
        return _refused(error)
    return _page("done.html", title="Your address is confirmed", text="You can sign in now.")


@router.get("/reset-password", include_in_schema=False)
async def show_reset_password(passwords: Passwords, token: str = "") -> HTMLResponse:
    """Ask for the new password; say so if setting it empties the account."""
    begins_anew = await passwords.begins_anew(token)
    return _page("reset_password.html", token=token, problem=None, begins_anew=begins_anew)


@router.post("/reset-password", include_in_schema=False)
async def submit_reset_password(
    form: Annotated[_ResetForm, Form()], passwords: Passwords, client_info: Client
) -> HTMLResponse:
    """Set the new password; one that is refused can be corrected on the spot."""
    try:
        body = PasswordReset(token=form.token or "-", password=form.password)
        await passwords.reset(body, client_info)
    except InvalidToken as error:
        return _refused(error)
    except (AppError, ValidationError) as error:
        status = error.status if isinstance(error, AppError) else 422
        problem = error.detail if isinstance(error, AppError) else "A password has 8 to 256 characters."
        begins_anew = await passwords.begins_anew(form.token)
        return _page(
            "reset_password.html", status, token=form.token, problem=problem, begins_anew=begins_anew
        )
    text = "Every device was signed out. Sign in with the new password."
    return _page("done.html", title="Your password is changed", text=text)


@router.get("/forgot-password", include_in_schema=False)
async def show_forgot_password() -> HTMLResponse:
    """Ask for the address that a reset mail goes to."""
    return _page("forgot_password.html", problem=None)


@router.post("/forgot-password", include_in_schema=False)
async def submit_forgot_password(
    form: Annotated[_ForgotForm, Form()], passwords: Passwords, client_info: Client
) -> HTMLResponse:
    """Have a reset mail sent."""
    try:
        await passwords.forgot(AddressRequest(email=form.email).email, client_info)
    except ValidationError:
        return _page("forgot_password.html", 422, problem="This is not a mail address.")
    except AppError as error:
        return _page("forgot_password.html", error.status, problem=error.detail)
    text = "If this address has an account, a mail with a link is on its way."
    return _page("done.html", title="Look into your mail", text=text)


def _page(template: str, status: int = 200, **variables: Any) -> HTMLResponse:
    return HTMLResponse(_PAGES.get_template(template).render(**variables), status, headers=_HEADERS)


def _refused(error: AppError | ValidationError) -> HTMLResponse:
    problem = error if isinstance(error, AppError) else InvalidToken()
    page = _page("done.html", problem.status, title="That didn't work", text=problem.detail)
    page.headers.update(problem.headers)
    return page
