# SPDX-FileCopyrightText: 2026 The Anacrusis authors
# SPDX-License-Identifier: Apache-2.0
"""The performer's end of the wire: the released `multi_track` external, without Max, socket, thread or clock.

Its host hands it a way to send, a clock, a sleep and a listener for events, calls `predict` when a step was heard and
`receive` for each datagram. The wire is the released external's to the byte; where that has a defect (chunk 0 lost, a
reply after the next trigger, another datagram size, a cursor beyond the buffer) the better outcome is implemented.

Ours beyond it: input channels after the stems, which are always context; a lead that is no multiple of the step, and
the position message a server needs for it; the pace that a server chooses, where steps are announced (`following.py`);
events for our server's own messages.

Every method belongs to one thread, the host's. Only `load_model` waits (180 ms, by the host's sleep).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from anacrusis.performer.batch import Batch, DuplicateChunkError, StemReply
from anacrusis.performer.events import ChunkWritten, Event, FromServer, Note
from anacrusis.performer.following import Following
from anacrusis.performer.placing import F32, blend, ramp, silence, spans
from anacrusis.performer.settings import MAX_STEMS, SettingError, Settings
from anacrusis.server.wire import messages, osc
from anacrusis.server.wire.extension import FROM_SERVER, Extension, PaceChoice
from anacrusis.server.wire.region import region_of

MOST_BATCHES: Final = 64  # remembered at once
LOAD_PAUSE_S: Final = 0.030  # the original server handles each message on a thread of its own


class MultiTrack:
    """buffer [frames, stems + inputs] float32: channel i is stem i, the inputs follow. Written in place.

    send(datagram): to the server. clock(): monotonic seconds. sleep(seconds). report(event): what Max would post.
    """

    def __init__(
        self,
        send: Callable[[bytes], None],
        clock: Callable[[], float],
        sleep: Callable[[float], None],
        report: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._send, self._clock, self._sleep, self._report = send, clock, sleep, report
        self.settings = Settings()
        self.stems: tuple[str, ...] = ()
        self.inputs = 0
        self.rate_hz = 44_100
        self.buffer: F32 | None = None
        self.batch_id = 0
        self.armed = False  # the next /ready starts the load sequence
        self.announce_steps = False  # send our position message with every batch
        self._lead_samples: int | None = None
        self._following = Following()
        self._batches: dict[int, Batch] = {}
        self._epoch_after = 0  # replies up to this id belong to before a reset
        self._test_sent: tuple[float, int] | None = None

    # -- settings: validated first, then stored, then sent ---------------------------------------------------

    def _change(self, **values: Any) -> None:
        changed = replace(self.settings, **values)
        changed.validate()
        if changed.step_samples != self.settings.step_samples or changed.slot_samples != self.settings.slot_samples:
            self._following.refuse()
        self.settings = changed

    def configure(self, **values: Any) -> None:
        """Several settings at once, by the names of `Settings`, sending nothing. Raises SettingError."""
        self._change(**values)

    def set_buffer(
        self, buffer: F32, stems: Sequence[str] = messages.STEMS, *, inputs: int = 0, rate_hz: int = 44_100
    ) -> None:
        """Bind a buffer. Raises SettingError unless it is float32 [frames, len(stems) + inputs], stems 1 to 8."""
        names = tuple(stems)
        if not 1 <= len(names) <= MAX_STEMS or len(set(names)) != len(names) or not all(names):
            raise SettingError(f"stems are {names}; give 1 to {MAX_STEMS} different names")
        if buffer.ndim != 2 or buffer.dtype != np.float32 or buffer.shape[1] != len(names) + inputs:
            wanted = f"[frames, {len(names) + inputs}] float32"
            raise SettingError(f"a buffer of {buffer.dtype} {buffer.shape} does not hold {names}; it must be {wanted}")
        flags = self.settings.flags if names == self.stems else ()
        self._change(flags=(*flags, *[0] * len(names))[: len(names)])
        self.buffer, self.stems, self.inputs, self.rate_hz = buffer, names, inputs, rate_hz

    def set_window(self, window_samples: int) -> None:
        """T. Nothing is sent: both ends are told apart from each other."""
        self._change(window_samples=window_samples)

    def set_r(self, r: float) -> None:
        self._change(r=r)
        self._send(messages.update_r(float(r)))

    def set_w(self, w: float) -> None:
        self._change(w=w)
        self._send(messages.update_w(float(w)))

    def set_fade(self, fade: float) -> None:
        self._change(fade=fade)
        self._send(messages.update_fade(float(fade)))

    def set_packet_size(self, floats: int) -> None:
        self._change(package=floats)
        self._send(messages.update_package_size(floats))

    def set_predict_instruments(self, flags: Sequence[int]) -> None:
        """1 for each stem to predict, in their order; what is not given is 0, what is too much is ignored."""
        count = len(self.stems)
        if not 1 <= len(flags) <= MAX_STEMS:
            raise SettingError(f"{len(flags)} flags; give 1 to {MAX_STEMS}, one a stem")
        self._change(flags=tuple(flags))
        self._change(flags=(*flags, *[0] * count)[:count])
        self._send(messages.predict_instruments(self.settings.flags))

    def set_verbose(self, level: int) -> None:
        self._change(verbose=level)
        self._send(messages.verbose(level))

    def set_send_mode(self, mode: int) -> None:
        self._change(send_mode=mode)

    def set_live_mode(self, mode: int) -> None:
        self._change(live_mode=mode)

    def set_lead(self, lead_samples: int | None) -> None:
        """A lead of our own in place of trunc(w * r * T), or None. Needs a server that reads our position message."""
        if lead_samples is not None and lead_samples < -self.step_samples:
            raise SettingError(f"lead is {lead_samples} samples; the lowest is minus a step, {-self.step_samples}")
        if lead_samples != self._lead_samples:
            self._following.refuse()
        self._lead_samples = lead_samples

    @property
    def step_samples(self) -> int:
        return self.settings.step_samples

    @property
    def until_next_samples(self) -> int:
        """From the last trigger to the next: the step that was asked for, or that the server chose."""
        return self._following.until_next(self.step_samples)

    @property
    def lead_samples(self) -> int:
        return self.settings.slot_samples if self._lead_samples is None else self._lead_samples

    # -- messages without a setting ---------------------------------------------------------------------------

    def load_model(self) -> None:
        """The load sequence: seven datagrams, 30 ms apart. A host that may not wait sends `load_sequence` itself."""
        for index, datagram in enumerate(self.load_sequence()):
            if index:
                self._sleep(LOAD_PAUSE_S)
            self._send(datagram)

    def load_sequence(self) -> tuple[bytes, ...]:
        """A server that is set up has chosen no pace yet: back to what was asked for."""
        self._following.forget()
        return self.settings.load_sequence()

    def reset(self) -> None:
        """Clear the server's history; replies to what was sent before are not written any more."""
        self._epoch_after = self.batch_id
        self._batches.clear()
        self._following.reset()
        self._send(messages.RESET)

    def print(self) -> None:
        self._send(messages.PRINT)

    def test_packet(self) -> None:
        """One datagram of random floats there and back; the answer is reported with its round trip."""
        floats = self.settings.package
        self._test_sent = (self._clock(), floats)
        self._send(messages.packet_test(np.random.default_rng().random(floats, np.float32)))

    # -- one cycle ----------------------------------------------------------------------------------------------

    def predict(self, curr_samples: int) -> Batch | None:
        """Send the step that ends at curr_samples and make room for its reply; None where there is nothing to send.

        A cursor outside the buffer is clipped to it. Never raises.
        """
        live, buffer = bool(self.settings.live_mode), self.buffer
        if buffer is None:
            return self._nothing("no buffer is bound; set_buffer comes first")
        if curr_samples == 0 and not live:
            return None
        step, frames = self.until_next_samples, buffer.shape[0]
        end = frames if live and curr_samples == 0 else curr_samples
        first, last = max(end - step, 0), min(end, frames)
        if first >= last:
            return self._nothing(f"predict {curr_samples}: no sample of that step is in a buffer of {frames} frames")
        self._tell_what_is_missing()
        targets = tuple(i for i, flag in enumerate(self.settings.flags) if flag)
        self.batch_id += 1
        position = self._following.position(self.batch_id, curr_samples, self.step_samples, self.lead_samples)
        region = region_of(position)
        batch = Batch(
            id=self.batch_id,
            curr_samples=curr_samples,
            start_samples=region.start_samples,
            step_samples=region.length_samples,
            fade_samples=self.settings.fade_samples(self.rate_hz),
            targets=targets,
            sent_s=self._clock(),
        )
        self._remember(batch)
        for stem in targets:
            silence(buffer[:, stem], batch.start_samples, batch.step_samples, loop=live)
        said, datagrams = position.encode(), self._context(batch.id, buffer[first:last], targets)
        for datagram in (said, *datagrams, said) if self.announce_steps else datagrams:
            self._send(datagram)
        return batch

    def _nothing(self, text: str) -> Batch | None:
        self._report(Note("nothing sent", text))
        return None

    def _remember(self, batch: Batch) -> None:
        """The released external accepts replies one batch late; a lead of several steps needs as many."""
        keep = max(2, -(-self.lead_samples // max(batch.step_samples, 1)) + 1)
        if self._following.choice is not None:  # steps of several lengths: what the playhead has not passed
            ahead = sum(b.end_samples > batch.curr_samples >= b.curr_samples for b in self._batches.values())
            keep = max(2, min(ahead + 1, MOST_BATCHES))
        self._batches[batch.id] = batch
        for old in sorted(self._batches)[:-keep]:
            del self._batches[old]

    def _tell_what_is_missing(self) -> None:
        batch = self._batches.get(self.batch_id)
        if batch is None or batch.dropped or batch.complete:
            return
        if batch.silent:
            self._report(Note("no reply", f"no reply for batch {batch.id}", batch.id))
            return
        for stem, reply in batch.replies.items():
            if not reply.complete:
                came = f"{len(reply.received)} of {reply.total or '?'}"
                self._report(Note("missing", f"batch {batch.id}: {came} chunks of {self.stems[stem]} came", batch.id))

    def _context(self, batch: int, part: F32, targets: tuple[int, ...]) -> list[bytes]:
        """One plane a target (send mode 0: the same sum each time, as released) or one a stem that is heard.

        A server that reads our positions knows when a step is whole, and is sent the sum once.
        """
        heard = [c for c in range(part.shape[1]) if c not in targets]
        copies = 1 if self.announce_steps else len(targets)
        if self.settings.send_mode == 0:
            plane = np.zeros(part.shape[0], np.float32)
            for channel in heard:
                plane += part[:, channel]
            planes = [(messages.CONTEXT, plane)]
        else:
            names = {c: f"/{self.stems[c]}" if c < len(self.stems) else messages.CONTEXT for c in heard}
            planes = [(names[c], part[:, c]) for c in heard]
        size = self.settings.package
        offsets = range(0, part.shape[0], size)
        total = copies * len(planes) * len(offsets)
        return [
            datagram
            for offset in offsets
            for datagram in copies
            * [
                messages.context(batch, offset, total, plane[offset : offset + size], address)
                for address, plane in planes
            ]
        ]

    # -- what comes back --------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """One datagram, whatever it is. Never raises: what is malformed is reported and changes nothing."""
        try:
            for message in osc.messages_in(data):
                self._dispatch(message)
        except osc.WireError as error:
            self._report(Note("malformed", f"{error}; ignored"))

    def _dispatch(self, data: bytes) -> None:
        address = osc.address_of(data)
        name = address[1:]
        if name in self.stems:
            self._on_reply(self.stems.index(name), messages.read_reply(data))
        elif address in FROM_SERVER:
            self._on_ours(FROM_SERVER[address].read(osc.decode(data)))
        elif address == "/ready":
            self._on_ready(osc.decode(data))
        elif address == "/batch_dropped":
            self._on_dropped(osc.decode(data))
        elif address == "/packet_test_response":
            self._on_packet_test(data)

    def _on_ours(self, message: Extension) -> None:
        if isinstance(message, PaceChoice) and self.announce_steps:
            self._following.take(message)
        self._report(FromServer(message))

    def _on_ready(self, message: osc.Message) -> None:
        if message.tags != "T":
            raise osc.WireError(f"/ready takes ,T and not ,{message.tags}")
        self._report(Note("ready", "the server is ready"))
        if self.armed:
            self.armed = False
            self.load_model()

    def _on_dropped(self, message: osc.Message) -> None:
        if message.tags != "i":
            raise osc.WireError(f"/batch_dropped takes ,i and not ,{message.tags}")
        number = cast(int, message.arguments[0])
        if number in self._batches:
            self._batches[number].dropped = True
        self._report(Note("dropped", f"the server dropped batch {number}", number))

    def _on_packet_test(self, data: bytes) -> None:
        _, (declared,), audio = osc.read_floats(data, 1, strict=True)
        if declared < 0:
            raise osc.WireError(f"/packet_test_response says {declared} floats")
        sent_s, asked = self._test_sent or (self._clock(), audio.shape[0])
        round_trip_ms = 1e3 * (self._clock() - sent_s)
        short = "" if audio.shape[0] == asked else "; they should be equal: try a smaller packet_size"
        text = f"packet test: {audio.shape[0]}/{asked} floats came back in {round_trip_ms:.2f} ms{short}"
        self._report(Note("packet test", text))

    def _on_reply(self, stem: int, message: messages.AudioMessage) -> None:
        batch = self._batches.get(message.batch)
        if batch is None:
            why = "of before the reset" if message.batch <= self._epoch_after else "too old or never sent"
            text = f"{message.address} chunk {message.index} for batch {message.batch}, {why}; ignored"
            self._report(Note("stale", text, message.batch))
            return
        if not np.isfinite(message.audio).all():
            raise osc.WireError(f"{message.address}: samples that are not finite")
        if stem not in batch.replies:
            text = f"batch {batch.id} did not ask for {message.address}; ignored"
            self._report(Note("not asked for", text, batch.id))
            return
        reply = batch.replies[stem]
        try:
            ready = reply.take(message, batch.length_samples)
        except DuplicateChunkError as error:
            self._report(Note("duplicate", f"batch {batch.id}, {error}; ignored", batch.id))
            return
        if batch.id != self.batch_id:
            self._report(Note("late", f"batch {batch.id}, {message.address} chunk {message.index}: late", batch.id))
        for offset, chunk in ready:
            self._write(batch, stem, reply, offset, chunk)

    def _write(self, batch: Batch, stem: int, reply: StemReply, offset: int, chunk: messages.AudioMessage) -> None:
        """Into the batch's own region and nowhere else: what a server sends beyond it is cut off."""
        buffer = self.buffer
        audio = chunk.audio[: max(batch.length_samples - offset, 0)]
        if audio.shape[0] < chunk.audio.shape[0]:
            text = f"batch {batch.id}, {chunk.address} chunk {chunk.index} ends beyond {batch.length_samples} samples"
            self._report(Note("malformed", f"{text}: T or r differ between the ends", batch.id))
        if buffer is None or not audio.shape[0]:
            return
        live = bool(self.settings.live_mode)
        channel, fade = buffer[:, stem], batch.fade_samples
        blend(channel, batch.first_samples, audio, offset, fade, loop=live)
        reply.keep_head(offset, audio)
        self._blend_again(channel, batch, stem, batch.first_samples + offset, audio.shape[0])
        faded = min(max(fade - offset, 0), audio.shape[0])
        self._report(
            ChunkWritten(batch.id, stem, chunk.index, chunk.total, batch.first_samples, offset, audio.shape[0], faded)
        )

    def _blend_again(self, channel: F32, batch: Batch, stem: int, first: int, length: int) -> None:
        """A later batch's headroom came before this audio, which belongs under it."""
        if batch.id == self.batch_id:
            return
        for later in self._batches.values():
            reply = later.replies.get(stem)
            low = max(first, later.first_samples)
            high = min(first + length, later.start_samples)
            if later.id <= batch.id or reply is None or low >= high:
                continue
            here: NDArray[np.bool_] = reply.head_here
            for frame, skip, count in spans(low, high - low, channel.shape[0], loop=bool(self.settings.live_mode)):
                o = low + skip - later.first_samples
                t = ramp(o, o + count, later.fade_samples) * here[o : o + count]
                zone = channel[frame : frame + count]
                zone[...] = zone * (np.float32(1) - t) + reply.head[o : o + count] * t
