# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on stage: a killed server, networks that give what is no number, a busy port, a signal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anacrusis.export.copying import write_copying_bundle
from anacrusis.performer.connection import Connection
from anacrusis.performer.files import Recording
from anacrusis.performer.live import perform
from anacrusis.performer.plan import Plan
from anacrusis.server.wire import messages
from anacrusis.server.wire.sockets import free_port

from .harness import WAIT_S, Duo

FRAME, FADE = 4096, 882


def serve(bundle: Path, port: int, client_port: int, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "anacrusis.cli.main", "serve", "--bundle", str(bundle), "--threads", "1"]
    ports = ["--serverport", str(port), "--clientport", str(client_port)]
    return subprocess.Popen([*command, *ports, *more], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


class Listening(Connection):
    """Notes which step was the newest sent when a server said /ready."""

    sent = 0
    ready_at: list[int]

    def send(self, data: bytes) -> None:
        if data.startswith(b"/context"):
            self.sent = messages.read_context(data).batch
        super().send(data)

    def receive(self, timeout_s: float) -> bytes | None:
        data = super().receive(timeout_s)
        if data == messages.READY:
            self.ready_at.append(self.sent)
        return data


def test_kill_9_mid_song_and_playing_within_two_steps_of_the_return(copying: Path) -> None:
    """Steps are .74 s; the server is killed after the third and started again at once."""
    band = np.random.default_rng(0).uniform(0, 0.5, (10 * 44100, 1)).astype(np.float32)
    port = free_port()
    with Listening("127.0.0.1", port, 0) as connection:
        connection.ready_at = []
        server = [serve(copying, port, connection.port)]

        def kill_and_start_again() -> None:
            server[0].kill()
            server[0].communicate()
            server[0] = serve(copying, port, connection.port)

        timers: list[threading.Timer] = []

        def on_step(done: int, total: int) -> None:
            if done == 3:
                timers.append(threading.Timer(0.2, kill_and_start_again))
                timers[0].start()

        plan = Plan(step_frames=8, lead_frames=8, window_samples=262144, wait_s=60.0)
        try:
            take = perform(Recording(band, 44100), connection, plan, on_step=on_step)
        finally:
            for timer in timers:
                timer.join()
            server[0].kill()
            server[0].communicate()
    answered = [step.batch for step in take.steps if step.answered]
    back = connection.ready_at[-1]  # the newest step when it returned
    assert {1, 2, 3} <= set(answered)
    assert min(batch for batch in answered if batch > back) <= back + 2
    assert answered[-1] == take.steps[-1].batch
    assert take.counters.loads == 2


@pytest.fixture(scope="module")
def spoiling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copying networks, but what is louder than .99 comes out as no number."""
    out = tmp_path_factory.mktemp("bundles") / "spoiling"
    write_copying_bundle(out, spoiled_above=0.99)
    return out


def test_output_that_is_no_number_is_silence_and_the_next_step_is_good(spoiling: Path, silent: Any) -> None:
    s, period = 8 * FRAME, 8 * FRAME
    good = np.random.default_rng(1).uniform(0.1, 0.5, period).astype(np.float32)
    with Duo(spoiling, 20 * s, noise=silent) as duo:
        duo.buffer[:, 1] = np.tile(good, 20)
        duo.buffer[5 * s + 100, 1] = 1.0  # heard with step 6, copied into what follows while it is in the window
        duo.load(r=0.125)
        for k in range(1, 18):
            duo.step(k * s)
        assert duo.server.worker.settle(WAIT_S)
        concealed = duo.server.counters.concealed_replies
        assert duo.server.counters.answered == 17
        channel = duo.buffer[:, 0]
        silences = [k for k in range(4, 18) if not channel[(k + 1) * s : (k + 2) * s - FADE].any()]
        assert len(silences) == concealed > 0
        assert np.isfinite(channel).all()
        # The loud sample has left the window: 64 frames are 8 steps.
        last = channel[18 * s : 19 * s]
        np.testing.assert_allclose(last, duo.buffer[18 * s : 19 * s, 1], atol=1e-5)
        # Into silence the client's own crossfade goes down without a click.
        first = silences[0]
        edge = channel[(first + 1) * s - FADE : (first + 1) * s]
        assert edge[-1] <= 0.5 / FADE + 1e-6


def test_a_port_in_use_is_one_line(copying: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        server = serve(copying, port, 8000)
        out, err = server.communicate(timeout=WAIT_S)
    assert server.returncode == 2
    assert out == ""
    assert err == f"anacrusis serve: port {port} is in use; stop the other server or client, or choose another port\n"


BAD = [
    (["--client_ip", "no such host"], "is not a host that can be resolved"),
    (["--server_ip", "203.0.113.7"], "is not an address of this machine"),
    (["--clientport", "70000"], "client port 70000 is not a port"),
    (["--allow", "10.0.0.0/99"], "--allow 10.0.0.0/99"),
    (["--device", "abacus"], "--device abacus is not known"),
    (["--device", "cuda"], "--device cuda cannot be had here"),
    (["--window-samples", "0"], "a window of 0 samples cannot be"),
    (["--compat", "upstream", "--window-samples", "1000"], "it needs at least"),
    (["--bundle", "/nowhere"], "is not a bundle"),
]


@pytest.mark.parametrize(("options", "says"), BAD, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_impossible_options_are_one_line(
    copying: Path, options: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from anacrusis.cli.main import main

    if options[1] == "cuda":
        torch = pytest.importorskip("torch")
        if torch.cuda.is_available():
            pytest.skip("needs a machine without CUDA")
    assert main(["serve", "--bundle", str(copying), "--serverport", "0", *options]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert says in lines[-1]
    assert lines[-1].startswith("anacrusis serve: ")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_a_signal_ends_it_cleanly(copying: Path, name: str) -> None:
    with Connection("127.0.0.1", free_port(), 0) as connection:
        server = serve(copying, connection.server[1], connection.port, "--json")
        deadline = time.monotonic() + WAIT_S
        while connection.receive(0.1) != messages.READY:
            assert time.monotonic() < deadline
        server.send_signal(getattr(signal, name))
        out, err = server.communicate(timeout=WAIT_S)
    assert server.returncode == 0
    assert '"answered":0' in out
    assert "Traceback" not in err


@pytest.mark.parametrize("script", ["server.py", "server_CD.py"])
def test_the_original_s_script_names_start_it(copying: Path, script: str) -> None:
    folder = Path(__file__).resolve().parents[2] / "max" / "compat"
    with Connection("127.0.0.1", free_port(), 0) as connection:
        ports = ["--serverport", str(connection.server[1]), "--clientport", str(connection.port)]
        server = subprocess.Popen(
            [sys.executable, script, *ports, "--client_ip", "127.0.0.1"],
            cwd=folder,
            env={**os.environ, "ANACRUSIS_BUNDLE": str(copying)},
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + WAIT_S
        while connection.receive(0.1) != messages.READY:
            assert time.monotonic() < deadline
        server.terminate()
        _, err = server.communicate(timeout=WAIT_S)
    assert "copying" in err


def test_a_signal_in_the_middle_of_a_cycle(tiny: Path) -> None:
    """The networks cannot be interrupted; the process ends without them."""
    with Connection("127.0.0.1", free_port(), 0) as connection:
        server = serve(tiny, connection.server[1], connection.port)
        deadline = time.monotonic() + WAIT_S
        while connection.receive(0.1) != messages.READY:
            assert time.monotonic() < deadline
        connection.send(messages.predict_instruments([1, 0, 0, 0]))
        connection.send(messages.LOAD_MODEL)
        audio = np.zeros(66150, np.float32)
        for at in range(0, 66150, 4410):
            connection.send(messages.context(1, at, 15, audio[at : at + 4410]))
        time.sleep(0.1)  # now it computes, for half a second
        server.terminate()
        _, err = server.communicate(timeout=WAIT_S)
    assert server.returncode == 0
    assert "Traceback" not in err
    assert err.strip().splitlines()[-1].startswith("stopped: ")
