"""What servers answer, in the words of a conversation: recognitions, recordings, failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...grammar import results
from ...grammar.model import Grammar, GrammarError
from ...grammar.results import Interpretation, ResultError
from ..service import Completion, Recognition, SpeechFailed
from .channel import Ending, Outcome
from .words import Header, RecognizeCause, RecordCause, SpeakCause, Status, cause_name

_FAILURE_OF_CAUSE = {
    SpeakCause.PARSE_FAILURE: "protocol",
    SpeakCause.URI_FAILURE: "uri",
    SpeakCause.ERROR: "resource",
    SpeakCause.LANGUAGE_UNSUPPORTED: "language",
    SpeakCause.LEXICON_LOAD_FAILURE: "uri",
    SpeakCause.CANCELLED: "cancelled",
}
_FAILURE_OF_RECOGNITION = {
    RecognizeCause.GRAMMAR_LOAD_FAILURE: "grammar",
    RecognizeCause.GRAMMAR_COMPILATION_FAILURE: "grammar",
    RecognizeCause.GRAMMAR_DEFINITION_FAILURE: "grammar",
    RecognizeCause.SEMANTICS_FAILURE: "grammar",
    RecognizeCause.RECOGNIZER_ERROR: "resource",
    RecognizeCause.URI_FAILURE: "uri",
    RecognizeCause.LANGUAGE_UNSUPPORTED: "language",
}
_FAILURE_OF_RECORDING = {RecordCause.URI_FAILURE: "uri", RecordCause.ERROR: "resource"}

_FAILURE_OF_STATUS: dict[int, str] = {
    Status.METHOD_NOT_ALLOWED: "resource",
    Status.NO_SUCH_RESOURCE: "lost",
    Status.OPERATION_FAILED: "resource",
    Status.UNSUPPORTED_ENTITY: "protocol",
    Status.SERVER_ERROR: "resource",
    Status.VERSION_NOT_SUPPORTED: "protocol",
    Status.MESSAGE_TOO_LARGE: "protocol",
}
_FAILURE_OF_ENDING = {
    Ending.STOPPED: "cancelled",
    Ending.NO_RESPONSE: "deadline",
    Ending.NO_COMPLETION: "deadline",
    Ending.LOST: "lost",
}
_COMPLETE = frozenset({RecognizeCause.SUCCESS, RecognizeCause.SUCCESS_MAXTIME})
"""Causes with which a result has to come."""


def failure_of(outcome: Outcome) -> SpeechFailed | None:
    """Why a request has failed, None if it has not: every cause of its own kind."""
    kind = _FAILURE_OF_ENDING.get(outcome.ending) or _kind_of_cause(outcome)
    if kind is None and outcome.ending is Ending.REFUSED:
        kind = _FAILURE_OF_STATUS.get(outcome.status, "refused")
    return None if kind is None else SpeechFailed(kind, outcome.text)


def _kind_of_cause(outcome: Outcome) -> str | None:
    cause = outcome.cause
    if isinstance(cause, SpeakCause):
        return _FAILURE_OF_CAUSE.get(cause)
    if isinstance(cause, RecognizeCause):
        return _FAILURE_OF_RECOGNITION.get(cause)
    return None if cause is None else _FAILURE_OF_RECORDING.get(cause)


def recognition_of(
    outcome: Outcome, grammars: Sequence[Grammar], uris: Sequence[str]
) -> Recognition:
    """What a recognition has brought. SpeechFailed: it says nothing that can be understood."""
    cause = outcome.cause
    if not isinstance(cause, RecognizeCause):
        raise SpeechFailed("protocol", f"{outcome.text}: without a completion cause")
    completion = Completion(cause_name(cause))
    body = b"" if outcome.message is None else outcome.message.body
    if cause not in _COMPLETE:
        return Recognition(completion, _seemed(body))
    if not body:
        raise SpeechFailed("protocol", f"{outcome.text}: without a result")
    try:
        found = results.read(body).interpretations
    except ResultError as error:
        raise SpeechFailed("protocol", f"{outcome.text}: {error}") from None
    if not found:
        raise SpeechFailed("protocol", f"{outcome.text}: an empty result")
    return _understood(completion, found[0], grammars, uris)


def _seemed(body: bytes) -> str:
    """What it seemed to be that fits nothing, as far as the server says it."""
    try:
        found = results.read(body) if body else results.Result()
    except ResultError:
        return ""
    return found.interpretations[0].text if found.interpretations else found.heard


def _understood(
    completion: Completion,
    best: Interpretation,
    grammars: Sequence[Grammar],
    uris: Sequence[str],
) -> Recognition:
    """The meaning is what our own grammar says of the words: it is the same with every server.
    Only where the words do not fit there, it is what the server has made of them."""
    named = uris.index(best.grammar) if best.grammar in uris else None
    order = list(range(len(grammars)))
    if named is not None:
        order.remove(named)
        order.insert(0, named)
    for index in order:
        try:
            match = grammars[index].match(best.text)
        except GrammarError:
            continue
        if match is not None:
            return Recognition(completion, best.text, match.value, best.confidence, index)
    return Recognition(completion, best.text, best.value, best.confidence, named)


@dataclass(frozen=True, slots=True)
class ServerRecording:
    """A recording that a server has made: where it is, or itself, in the form ``content_type``."""

    cause: RecordCause
    uri: str = ""
    body: bytes = b""
    content_type: str = ""


def recording_of(outcome: Outcome) -> ServerRecording:
    """What a RECORD has brought (RFC 6787, 10.4.7). SpeechFailed: it does not say how it ended."""
    message = outcome.message
    if not isinstance(outcome.cause, RecordCause) or message is None:
        raise SpeechFailed("protocol", f"{outcome.text}: without a completion cause")
    uri = (message.headers.get(Header.RECORD_URI) or "").partition(";")[0].strip().strip("<>")
    return ServerRecording(outcome.cause, uri, message.body, message.content_type)
