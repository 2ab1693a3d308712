# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The command that starts a server, read and completed as the released external does (its `set_command`).

Pure: the client's address is an argument, and nothing is looked up or run here. One thing is better than released: the
address goes right behind the server's last option, so that quotes elsewhere in the command (a remote Windows server
without CUDA has `CUDA_VISIBLE_DEVICES=''`) stay whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from anacrusis.performer.settings import SettingError
from anacrusis.server.wire.messages import CLIENT_PORT, SERVER_PORT

UNKNOWN = "0.0.0.0"
_OPTION = re.compile(r"--(?:device|server_ip|serverport|clientport)[ =]+[^\s\"']+|\bserver(?:_CD)?\.py\b")
_SERVER_IP = re.compile(r"--server_ip +([^ \"']+)")
_SSH_HOST = re.compile(r"ssh .*?@([^ \"']+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Command:
    """text: what to run. server_host: a name or address, not resolved."""

    text: str
    server_host: str
    server_port: int
    client_port: int


def read_command(text: str, client_ip: str = "") -> Command:
    """Complete a command with `--client_ip` and read off where its server will be.

    client_ip: this machine as the server sees it; "" is not known. Raises SettingError for a port out of range.
    """
    return Command(
        text=text if "--client_ip" in text else _with_client_ip(text, client_ip or UNKNOWN),
        server_host=_server_host(text),
        server_port=_port(text, "--serverport", SERVER_PORT),
        client_port=_port(text, "--clientport", CLIENT_PORT),
    )


def _with_client_ip(text: str, client_ip: str) -> str:
    at = _insertion(text)
    return f"{text[:at]} --client_ip {client_ip}{text[at:]}"


def _insertion(text: str) -> int:
    options = list(_OPTION.finditer(text))
    if options:
        return options[-1].end()
    outer = text.rfind('"')
    if outer < 0:
        return len(text)
    inner = text.rfind("'", 0, outer)  # a command nested in single quotes ends right before the double one
    return inner if inner >= 0 and not text[inner + 1 : outer].strip() else outer


def _server_host(text: str) -> str:
    found = _SERVER_IP.search(text) or _SSH_HOST.search(text)
    return found.group(1) if found else "127.0.0.1"


def _port(text: str, option: str, default: int) -> int:
    found = re.search(rf"{option}[ =]*(\S*)", text)
    if found is None:
        return default
    value = found.group(1).strip("\"'")
    if not value.isdecimal() or not 1 <= int(value) <= 65_535:
        raise SettingError(f"{option} is {value!r}; it must be 1 to 65535")
    return int(value)
