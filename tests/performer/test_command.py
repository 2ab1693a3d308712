# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""Row C-30: commands as the released panel writes them, and where each puts the server."""

from __future__ import annotations

import pytest

from anacrusis.performer.command import read_command
from anacrusis.performer.settings import SettingError

CLIENT = "10.0.0.9"
HERE = f" --client_ip {CLIENT}"  # where {} stands below
CONDA = "conda run --no-capture-output -n ctm_gen python server.py --serverport 7000 --clientport 8000"

# What the specification verified with the released external, then its panel's other wrappers.
COMMANDS = {
    "local": (
        'zsh -ic "cd ~/x && python server.py --serverport 7001 --clientport 8001{}"',
        ("127.0.0.1", 7001, 8001),
    ),
    "remote": (
        "ssh -p 22 -t user@H \"bash -ic 'cd d && python server_CD.py --serverport 7000 --clientport 8000{}'\"",
        ("H", 7000, 8000),
    ),
    "no quotes": ("python server.py --server_ip H{}", ("H", 7000, 8000)),
    "remote Windows without CUDA": (
        "ssh -t user@H \"cmd /C cd d && set CUDA_VISIBLE_DEVICES='' && python server.py --clientport 8000{}\"",
        ("H", 7000, 8000),
    ),
    "remote Windows": (f'ssh -t user@H "cmd /C cd d && set CUDA_VISIBLE_DEVICES=0 && {CONDA}{{}}"', ("H", 7000, 8000)),
    "remote Linux without CUDA": (
        f"ssh -t me@1.2.3.4 \"bash -ic 'cd d && export CUDA_VISIBLE_DEVICES= && {CONDA}{{}}'\"",
        ("1.2.3.4", 7000, 8000),
    ),
    "a script of one's own": ("ssh me@H \"bash -ic './start.sh{}'\"", ("H", 7000, 8000)),
    "a script in double quotes": ("ssh me@H \"CUDA='' ./start.sh{}\"", ("H", 7000, 8000)),
    "a script without quotes": ("./start.sh{}", ("127.0.0.1", 7000, 8000)),
    "an alias has no @": ('ssh studio "./start.sh{}"', ("127.0.0.1", 7000, 8000)),
    "quotes after the options": (
        "python server.py --clientport 8002{} && echo 'it is \"over\"'",
        ("127.0.0.1", 7000, 8002),
    ),
}


@pytest.mark.parametrize("what", COMMANDS)
def test_c_30_the_clients_address_goes_where_the_server_reads_it(what: str) -> None:
    template, ends = COMMANDS[what]
    command = read_command(template.format(""), CLIENT)
    assert command.text == template.format(HERE)
    assert (command.server_host, command.server_port, command.client_port) == ends


@pytest.mark.parametrize("what", COMMANDS)
def test_a_completed_command_is_left_alone(what: str) -> None:
    text = COMMANDS[what][0].format(HERE)
    assert read_command(text, "1.1.1.1").text == text


def test_an_unknown_address() -> None:
    assert read_command("python server.py").text == "python server.py --client_ip 0.0.0.0"


@pytest.mark.parametrize("option", ["--serverport 0", "--clientport 65536", "--serverport x", "--clientport"])
def test_a_port_that_is_none(option: str) -> None:
    with pytest.raises(SettingError, match=r"port is .*; it must be 1 to 65535"):
        read_command(f"python server.py {option}")
