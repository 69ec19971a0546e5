"""Choose the network interface over which several machines exchange gradients on CPUs.

gloo, which torch uses there, listens on the address of the host's own name. Debian and Ubuntu map that name to a loopback
address in `/etc/hosts`, which no other machine can reach.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import MutableMapping

# The variable that names gloo's interface.
INTERFACE = "GLOO_SOCKET_IFNAME"
# An address that belongs to nobody (TEST-NET-1 of RFC 5737), so that its route is the default route.
ANYWHERE = "192.0.2.1"
# A UDP port; nothing is sent to it.
PORT = 9


def choose_interface(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let gloo use the interface on the route to the first machine, unless the user named one.

    Nothing changes if all processes are on one machine, or if there is no route to the first one.

    Args:
        environment: has `MASTER_ADDR`; gets `GLOO_SOCKET_IFNAME`.
    """
    first = environment.get("MASTER_ADDR", "")
    if INTERFACE in environment or not first or _is_loopback(first) or first == "localhost":
        return
    name = interface_of(own_address(first))
    if name:
        environment[INTERFACE] = name


def own_address(first: str) -> str:
    """Return the address of this machine on the route to another one, or '' if there is no route.

    Args:
        first: name or address of the first machine. On that machine itself, its name may have only loopback addresses; the
            default route counts then.
    """
    try:
        found = socket.getaddrinfo(first, PORT, type=socket.SOCK_DGRAM)
    except OSError:
        return ""
    places = [(family, place) for family, _, _, _, place in found if not _is_loopback(str(place[0]))]
    for family, place in places or [(socket.AF_INET, (ANYWHERE, PORT))]:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as way:
                # UDP: this looks up the route, and sends nothing.
                way.connect(place)
                return way.getsockname()[0]
        except OSError:
            continue
    return ""


def interface_of(address: str) -> str:
    """Return the name of the network interface that has an address, or ''."""
    import psutil

    for name, addresses in psutil.net_if_addrs().items():
        # An IPv6 address of a link ends with the name of its interface: fe80::1%eth0.
        if address and address.partition("%")[0] in [each.address.partition("%")[0] for each in addresses]:
            return name
    return ""


def _is_loopback(address: str) -> bool:
    """Return whether a text is a loopback address; False for the name of a host."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
