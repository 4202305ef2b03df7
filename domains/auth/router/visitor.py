"""What every operation of this domain reads from the connection, and the services that it calls."""

from typing import Annotated

from fastapi import Depends, Request

from domains.auth.schemas import MAX_AGENT, Visitor
from domains.auth.service.accounts import AccountService
from domains.auth.service.passwords import PasswordService
from domains.auth.service.registration import RegistrationService
from domains.auth.service.sign_in import SessionService
from shared.wiring import accessor


async def _visitor(request: Request) -> Visitor:
    """Read who calls. The address is the peer's, or what a trusted proxy in front says about it."""
    agent = "".join(
        character for character in request.headers.get("user-agent", "") if character.isprintable()
    )
    return Visitor(address=request.client.host if request.client else "unknown", agent=agent[:MAX_AGENT])


From = Annotated[Visitor, Depends(_visitor)]
Accounts = Annotated[AccountService, Depends(accessor("auth.accounts", AccountService))]
Passwords = Annotated[PasswordService, Depends(accessor("auth.passwords", PasswordService))]
Registrations = Annotated[RegistrationService, Depends(accessor("auth.registration", RegistrationService))]
Sessions = Annotated[SessionService, Depends(accessor("auth.sign_in", SessionService))]
