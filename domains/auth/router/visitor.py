"""What every operation of this domain reads from the connection, and the services that it calls."""

from typing import Annotated

from fastapi import Depends, Request

from domains.auth.schemas import Visitor
from domains.auth.service.accounts import AccountService
from domains.auth.service.passwords import PasswordService
from domains.auth.service.registration import RegistrationService
from domains.auth.service.sign_in import SessionService
from shared.wiring import accessor


async def _visitor(request: Request) -> Visitor:
    """Read who calls. The address is the peer's, or what a trusted proxy in front says about it."""
    return Visitor.seen(request.client.host if request.client else None, request.headers.get("user-agent"))


From = Annotated[Visitor, Depends(_visitor)]
Accounts = Annotated[AccountService, Depends(accessor("auth.accounts", AccountService))]
Passwords = Annotated[PasswordService, Depends(accessor("auth.passwords", PasswordService))]
Registrations = Annotated[RegistrationService, Depends(accessor("auth.registration", RegistrationService))]
Sessions = Annotated[SessionService, Depends(accessor("auth.sign_in", SessionService))]
