"""Who may use the dashboard, from where, under which name: decided when it starts."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field

from hpo.config import VARIABLES
from hpo.errors import HpoError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SHORTEST = 12  # letters of a password
_PASSWORD = VARIABLES["dashboard_password"]


@dataclass(frozen=True)
class Access:
    """Whoever comes through a proxy of `proxies` with `header`, else knows the `password`, else the `token`.

    `hosts` are the names, lower case and without a port, under which a browser may ask; pages of others that were
    pointed at this address have another. Only with `write` can anything be changed.
    """

    hosts: frozenset[str]
    write: bool = False
    token: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    header: str | None = None
    proxies: tuple[Network, ...] = ()

    def opens(self, given: str) -> bool:
        """Whether this is the password, or the token where there is none; takes as long for every wrong one."""
        right = self.password or self.token
        return right is not None and hmac.compare_digest(given.encode(), right.encode())

    def vouched(self, address: str, value: str | None) -> bool:
        """Whether a trusted proxy says who is asking."""
        return bool(self.header and value and self.is_proxy(address))

    def is_proxy(self, address: str) -> bool:
        """Whether this is the address of a trusted proxy."""
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found
        return any(found in network for network in self.proxies)


def decide(
    host: str,
    names: Sequence[str],
    token: str,
    password: str | None,
    header: str | None,
    proxies: Sequence[str],
    write: bool,
) -> Access:
    """Check what a person asks for; raises HpoError for a dashboard that others could use, or nobody."""
    if bool(header) != bool(proxies):
        raise HpoError("--trust-header and --proxy belong together: the header's name, and the address that sets it")
    if password is not None and len(password) < SHORTEST:
        raise HpoError(f"{_PASSWORD}: a password takes {SHORTEST} letters or more; openssl rand -hex 24 makes one")
    if not (header or password or is_loopback(host)):
        raise HpoError(
            f"--host {host}: other machines reach this address, and would need a password: set {_PASSWORD}, or name a "
            "reverse proxy that asks them for one (--trust-header, --proxy), or leave --host out and use ssh -L"
        )
    return Access(
        hosts=frozenset(name.lower().strip("[]") for name in (host, "localhost", *_loopbacks(host), *names)),
        write=write,
        token=None if header or password else token,
        password=None if header else password,
        header=f"HTTP_{header.upper().replace('-', '_')}" if header else None,
        proxies=tuple(_network(proxy) for proxy in proxies),
    )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _loopbacks(host: str) -> tuple[str, ...]:
    """What else an address that stands for all of them is called on this machine."""
    return ("127.0.0.1", "::1") if host in ("0.0.0.0", "::", "localhost") else ()  # noqa: S104 - nothing is bound here


def _network(written: str) -> Network:
    try:
        return ipaddress.ip_network(written, strict=False)
    except ValueError:
        raise HpoError(f"--proxy: {written!r} is no address; right is one such as 127.0.0.1 or 10.0.0.0/8") from None
