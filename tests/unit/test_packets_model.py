"""Prompts of whole packets in the C core against plain lists of packets, for any order of steps."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ringwheel._testcore import ffi, lib
from ringwheel.media._core import Prompt

from ..legs import empty_leg

SILENCE = b"\x48\x07\xc9"
FRAME_TS = 960

packets = st.binary(min_size=1, max_size=40)
prompts = st.lists(st.lists(packets, max_size=5), max_size=4)


def make_playlist(play_id: int, parts: list[list[bytes]], loop: bool):
    """A playlist of the C core; a packet's level is its number among all of them."""
    made, numbers = [], itertools.count()
    for part in parts:
        levels = [-1 - next(numbers) for _ in part]
        lengths = [len(packet) for packet in part]
        made.append(
            lib.rw_prompt_create_of_packets(
                b"".join(part),
                ffi.new("uint16_t[]", lengths),
                ffi.new("int8_t[]", levels),
                len(part),
            )
        )
    playlist = lib.rw_playlist_create(play_id, made, len(made), loop)
    for prompt in made:
        lib.rw_prompt_release(prompt)
    return playlist


@given(parts=prompts, reads=st.integers(0, 40), loop=st.booleans())
def test_packets_are_read_one_after_the_other(parts, reads, loop):
    whole = [packet for part in parts for packet in part]
    playlist = make_playlist(1, parts, loop)
    if loop and not whole:
        assert playlist == ffi.NULL
        return
    room = ffi.new("uint8_t[]", lib.RW_PROMPT_MAX_PACKET_BYTES)
    expected = list(itertools.islice(itertools.cycle(whole) if loop else whole, reads))
    for place in range(reads):
        got = bytes(ffi.buffer(room, lib.rw_playlist_read_packet(playlist, room)))
        assert got == (expected[place] if place < len(expected) else b"")
        if got:
            assert playlist.level_dbov == -1 - place % len(whole)
        assert lib.rw_playlist_ended(playlist) == (not loop and place + 1 >= len(whole))
    assert playlist.played_packets == len(expected)
    assert playlist.played_bytes == sum(map(len, expected))
    lib.rw_playlist_destroy(playlist)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("play"), prompts),
        st.tuples(st.sampled_from(["pause", "resume", "hold", "take up"]), st.none()),
        st.tuples(st.just("slots"), st.integers(1, 6)),
    ),
    max_size=25,
)


def make_leg(send_silence: bool):
    config = ffi.new("rw_leg_config *")
    config.media.clock_rate_hz, config.media.payload_type = 48000, 96
    config.media.ptime_ms, config.media.send = 20, True
    config.media.silence_bytes = len(SILENCE)
    config.media.silence_packet[0 : len(SILENCE)] = list(SILENCE)
    config.silence_policy = lib.RW_SILENCE_SEND if send_silence else lib.RW_SILENCE_STOP
    config.fd = -1
    leg = empty_leg()
    lib.rw_leg_init(leg, config, 1, 1000)
    return leg, config  # whose media lives as long as it does


@settings(max_examples=200, deadline=None)
@given(steps=steps, send_silence=st.booleans())
def test_a_leg_sends_one_whole_packet_a_slot(steps, send_silence):
    leg, config = make_leg(send_silence)
    media = config.media
    ended = ffi.new("rw_playlist_queue *")
    lib.rw_playlist_queue_init(ended)
    waiting: list[bytes] = []
    paused, sending, slots = False, True, 0
    packet = ffi.new("uint8_t[]", 1472)
    for number, (step, value) in enumerate(steps):
        if step == "play":
            playlist = make_playlist(number, value, False)
            lib.rw_playlist_queue_push(ffi.addressof(leg, "playing"), playlist)
            waiting += [one for part in value for one in part]
        elif step in ("pause", "resume"):
            leg.paused = paused = step == "pause"
        elif step in ("hold", "take up"):
            media.send = sending = step == "take up"
            lib.rw_leg_set_media(leg, ffi.addressof(media))
        else:
            for _ in range(value):
                sent = bytes(ffi.buffer(packet, lib.rw_leg_compose(leg, packet, ended)))[12:]
                due = SILENCE if send_silence and sending else b""
                if sending and not paused and waiting:
                    due = waiting.pop(0)
                assert sent == due
                slots += 1
        assert leg.timestamp == slots * FRAME_TS
    lib.rw_leg_clear_queue(leg, lib.RW_PLAY_STOPPED, ended)
    while (playlist := lib.rw_playlist_queue_pop(ended)) != ffi.NULL:
        lib.rw_playlist_destroy(playlist)


@pytest.mark.parametrize(
    ("lengths", "levels", "message"),
    [
        ([3, 2], [-1, -2], "packets of 5 bytes for 6 bytes"),
        ([6, 0], [-1, -2], "a packet of 0 bytes"),
        ([6, 2000], [-1, -2], "a packet of 2000 bytes"),
        ([4, 2], [-1], "not one level for each of 2 packets"),
        ([], [], "packets of 0 bytes"),
    ],
)
def test_figures_that_do_not_fit_each_other_are_refused(lengths, levels, message):
    with pytest.raises(ValueError, match=message):
        Prompt(
            b"abcdef",
            np.array(levels, np.int8),
            packet_bytes=np.array(lengths, np.uint16),
        )
