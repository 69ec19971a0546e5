"""The network interface of a run on several machines."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from zoo.system import network
from zoo.system.network import INTERFACE, choose_interface, interface_of, own_address

# Two interfaces, as psutil lists them.
ADDRESSES = {
    "lo": ["127.0.0.1", "::1"],
    "eth0": ["10.77.0.2", "fe80::42%eth0", "02:42:ac:11:00:02"],
}


@pytest.fixture(autouse=True)
def interfaces(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = {name: [SimpleNamespace(address=text) for text in texts] for name, texts in ADDRESSES.items()}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: listed)


def chosen(monkeypatch: pytest.MonkeyPatch, own: str = "10.77.0.2", **environment: str) -> dict[str, str]:
    monkeypatch.setattr(network, "own_address", lambda _first: own)
    choose_interface(environment)
    return environment


@pytest.mark.parametrize("first", ["10.77.0.1", "host-a"])
def test_the_interface_on_the_way_to_the_first_machine_is_taken(first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, MASTER_ADDR=first) == {"MASTER_ADDR": first, INTERFACE: "eth0"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"MASTER_ADDR": "127.0.0.1"},
        {"MASTER_ADDR": "::1"},
        {"MASTER_ADDR": "localhost"},
        {"MASTER_ADDR": "10.77.0.1", INTERFACE: "ib0"},
    ],
)
def test_one_machine_and_a_named_interface_stay_as_they_are(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, **environment) == environment


@pytest.mark.parametrize("own", ["", "10.1.2.3"])
def test_without_a_way_gloo_chooses(own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen(monkeypatch, own, MASTER_ADDR="10.77.0.1") == {"MASTER_ADDR": "10.77.0.1"}


def test_an_address_of_a_link_has_its_interface_in_its_name() -> None:
    assert interface_of("fe80::42%eth0") == interface_of("fe80::42") == "eth0"
    assert interface_of("") == ""


@pytest.mark.parametrize(
    ("found", "asked"),
    [
        (["10.77.0.1"], ["10.77.0.1"]),
        # On host-a itself, /etc/hosts of Debian and Ubuntu gives its name this address.
        (["127.0.1.1"], [network.ANYWHERE]),
        (["::1", "127.0.1.1", "10.77.0.1"], ["10.77.0.1"]),
        (["2001:db8::1", "10.77.0.1"], ["2001:db8::1", "10.77.0.1"]),
    ],
)
def test_the_route_is_that_to_the_first_address_that_has_one(
    found: list[str], asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    class Way(socket.socket):
        def connect(self, address: Any) -> None:
            tried.append(address[0])
            if ":" in address[0]:
                raise OSError("network is unreachable")

        def getsockname(self) -> Any:
            return ("10.77.0.2", 1)

    places = [(socket.AF_INET6 if ":" in text else socket.AF_INET, socket.SOCK_DGRAM, 17, "", (text, 9)) for text in found]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_more: places)
    monkeypatch.setattr(socket, "socket", Way)
    assert own_address("host-a") == "10.77.0.2"
    assert tried == asked


def test_a_name_that_nobody_knows_has_no_route(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_arguments: Any, **_more: Any) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert own_address("host-z") == ""
