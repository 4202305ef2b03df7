"""Dependencies that the routes of this domain share: client info and services."""

from typing import Annotated

from fastapi import Depends, Request

from domains.auth.schemas.client_info import ClientInfo
from domains.auth.service.accounts import AccountService
from domains.auth.service.passwords import PasswordService
from domains.auth.service.registration import RegistrationService
from domains.auth.service.sessions import SessionService
from domains.auth.service.sign_in import SignInService
from shared.wiring import accessor


async def _client_info(request: Request) -> ClientInfo:
    """Read address and program. The address is the peer's, or the one that a trusted proxy forwards."""
    return ClientInfo.of(request.client.host if request.client else None, request.headers.get("user-agent"))


Client = Annotated[ClientInfo, Depends(_client_info)]
Accounts = Annotated[AccountService, Depends(accessor("auth.accounts", AccountService))]
Passwords = Annotated[PasswordService, Depends(accessor("auth.passwords", PasswordService))]
Registrations = Annotated[RegistrationService, Depends(accessor("auth.registration", RegistrationService))]
Sessions = Annotated[SessionService, Depends(accessor("auth.sessions", SessionService))]
SignIn = Annotated[SignInService, Depends(accessor("auth.sign_in", SignInService))]
