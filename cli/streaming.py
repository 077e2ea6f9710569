"""The agent of a configuration: connected with calls, or asking and hearing for a script."""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable

import structlog

from ..media.call import Call
from ..media.secret import SecretError, environment_secret
from ..media.sip.tls import TlsConfig, TlsContexts
from ..media.sip.transport import ListenError
from ..robot.script.model import By
from ..robot.speech.service import SpeechService
from ..robot.speech.stream import StreamFailed, StreamTotals, stream
from ..robot.speech.stream.speech import StreamSpeech
from .config import ServeConfig
from .errors import CommandError

log = structlog.get_logger(__name__)


def make_streamer(
    config: ServeConfig, on_answer: Callable[[Call], None], totals: StreamTotals
) -> Callable[[Call], Awaitable[None]]:
    """What is done with each call: the agent first, then the answer. An agent that cannot be had
    refuses the call with 503, and one that breaks off ends it. ``on_answer`` is called in between.
    What streams come to is added to ``totals``. Raises CommandError.
    """
    assert config.stream is not None
    url = config.stream
    headers = _headers(config)
    tls = _tls(config)

    async def connect(call: Call) -> None:
        answered = False

        async def answer(call: Call) -> None:
            nonlocal answered
            answered = True
            await call.answer()
            on_answer(call)

        call.ring()
        try:
            await stream(
                call,
                url,
                parameters=_parameters(call, url),
                headers=headers,
                tls=tls,
                max_ms=round(config.stream_max_s * 1000),
                barge_in=config.stream_barge_in,
                answer=answer,
                totals=totals,
            )
        except StreamFailed as error:
            if not answered:
                call.reject(503)
                return
            await call.hangup(f"agent: {error.kind}")
        await call.hangup()

    return connect


def stream_speech(config: ServeConfig) -> dict[By, SpeechService]:
    """What speaks and hears where a script says ``by: stream``; nothing without an agent. Raises
    CommandError."""
    if config.stream is None:
        return {}
    try:
        speech = StreamSpeech(config.stream, headers=_headers(config), tls=_tls(config))
    except ValueError as error:
        raise CommandError(f"--stream: {error}") from None
    return {"stream": speech}


def _parameters(call: Call, url: str) -> dict[str, str]:
    """Who talks with whom, where the form has a place for it."""
    if url.startswith("audiosocket"):
        return {}
    return {"from": call.from_uri, "to": call.to_uri, "call_id": call.call_id}


def _headers(config: ServeConfig) -> dict[str, str]:
    if config.stream_token_env is None:
        return {}
    try:
        token = environment_secret(config.stream_token_env, os.environ)
    except SecretError as error:
        raise CommandError(f"--stream-token-env: {error}") from None
    return {"Authorization": f"Bearer {token}"}


def _tls(config: ServeConfig) -> ssl.SSLContext | None:
    if config.tls_ca is None:
        return None
    try:
        return TlsContexts(TlsConfig(ca=config.tls_ca)).client
    except ListenError as error:
        raise CommandError(str(error)) from error
