"""The address and the program that a request came from."""

import ipaddress
from dataclasses import dataclass

from shared.text import as_line

MAX_AGENT = 300


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """From where and with what somebody calls."""

    address: str
    agent: str

    @classmethod
    def of(cls, address: str | None, agent: str | None) -> "ClientInfo":
        """Make one of what a connection says; the agent's text is cut, and cleaned of what could forge a log line."""
        return cls(address=address or "unknown", agent=as_line(agent or "")[:MAX_AGENT])

    @property
    def network(self) -> str:
        """The /24 or /64 that the address is in: who has one address of it has them all."""
        try:
            address = ipaddress.ip_address(self.address)
        except ValueError:
            return self.address
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        prefix = 24 if address.version == 4 else 64  # noqa: PLR2004  # the version's number
        return str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))
