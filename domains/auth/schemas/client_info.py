"""The address and the program that a request came from."""

import ipaddress
from dataclasses import dataclass

from shared.text import as_line

MAX_AGENT = 300


@dataclass(frozen=True, slots=True)
class ClientInfo:
    """Network address and program of a caller."""

    address: str
    agent: str

    @classmethod
    def of(cls, address: str | None, agent: str | None) -> "ClientInfo":
        """Read a connection. The agent's text is cut, and characters that could forge a log line are removed."""
        return cls(address=address or "unknown", agent=as_line(agent or "")[:MAX_AGENT])

    @property
    def network(self) -> str:
        """The /24 or /64 that the address is in: one owner usually has all addresses of it."""
        try:
            address = ipaddress.ip_address(self.address)
        except ValueError:
            return self.address
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        prefix = 24 if address.version == 4 else 64  # noqa: PLR2004  # the version's number
        return str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))
