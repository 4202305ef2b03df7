"""The small pages that links in mails lead to, where no front end is set.

They act on a click, never on being opened: mail scanners open every link.
"""

from html import escape
from pathlib import Path
from typing import Annotated, Any

from fastapi import Form
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, ValidationError
from starlette.responses import HTMLResponse

from domains.auth.errors import InvalidToken
from domains.auth.router.dependencies import Client, Passwords, Registrations
from domains.auth.schemas.accounts import AddressRequest, PasswordReset, VerificationRequest
from shared.errors import AppError
from shared.http.html_pages import html_page
from shared.http.routing import Router

router = Router(tags=["pages"])

_FOLDER = Path(__file__).parent.parent / "templates" / "pages"
_PAGES = Environment(
    loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, auto_reload=False
)
_TITLES = {
    "verify_email.html": "Confirm your address",
    "reset_password.html": "Choose a new password",
    "forgot_password.html": "Choose a new password",
}


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
    return _message("Your address is confirmed", "You can sign in now.")


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
    return _message("Your password is changed", "Every device was signed out. Sign in with the new password.")


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
    return _message("Look into your mail", text)


def _page(template: str, status: int = 200, **variables: Any) -> HTMLResponse:
    return html_page(_TITLES[template], _PAGES.get_template(template).render(**variables), status=status)


def _message(title: str, text: str, status: int = 200) -> HTMLResponse:
    return html_page(title, f"<p>{escape(text)}</p>", status=status)


def _refused(error: AppError | ValidationError) -> HTMLResponse:
    problem = error if isinstance(error, AppError) else InvalidToken()
    page = _message("That didn't work", problem.detail, problem.status)
    page.headers.update(problem.headers)
    return page
