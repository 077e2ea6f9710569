"""Walks a script: an event in, actions out; no clock, no socket, nothing at random.

Steps that need nobody run at once, until one waits. What is remembered is in a
:class:`~.state.Memory`; everything else follows from it, so that a conversation goes on anywhere.
Questions count as in VoiceXML 2.1 (5.2.2, and 2.1.6.2 for when they are visited again).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Literal

from . import actions, state
from .actions import Action, Speech
from .events import Begin, Done, Event, Failed, Heard, Left, NoInput, NoMatch
from .expressions import ExpressionError
from .model import (
    Ask,
    CallFlow,
    Choice,
    Flow,
    Goto,
    HandOver,
    HangUp,
    Http,
    Input,
    Json,
    Limits,
    Prompts,
    Record,
    Return,
    Say,
    Script,
    SendDigits,
    Set,
    Step,
    Stream,
    Transfer,
)
from .outcome import Ended, Kind, Waiting, ended_of, report_of
from .rendering import (
    MAX_BODY_BYTES,
    Exhausted,
    Fault,
    Scope,
    digits_of,
    line_of,
    speech_of,
    url_of,
)
from .state import Asked, Frame, Masks, Memory, State, StateError, StepTime, Tally
from .values import same

MAX_SILENT_STEPS = 200
"""So many steps in a row that nobody hears are a loop without end."""
ERROR_STEPS = 50
"""How many more the handler ``error`` has, when the script's limit of steps is reached."""
ROW_BYTES = 110
"""What a row of the trace, a question's tally or a frame adds to the state, at most, but names."""
EMPTY_BYTES = 2_000
"""What the state of a conversation that begins takes at most, spare room included, but names."""
SPARE_BYTES = 1_000
"""Room that is kept in the state for what failed last, and for numbers that grow longer."""
MAX_ESCAPE = 12
"""What one character may take as JSON in ASCII."""
MAX_REASON_BYTES = 400
MAX_WORD_BYTES = 60
MAX_HEARD_BYTES = 200
HEARD_BYTES = 65
"""What the state has of an answer beside its text."""
NAME_BYTES = 4
"""What it has of a variable beside its name and value."""

Answer = Done | Heard | NoInput | NoMatch | Failed
KINDS: dict[type[Step], Kind] = {
    Say: "say",
    Ask: "ask",
    Http: "http",
    Record: "record",
    Transfer: "transfer",
    SendDigits: "send_digits",
    Stream: "stream",
}
CAUSES = {"silence": "no-input", "no_match": "no-match", "error": "error", "hang_up": "left"}
"""What a conversation ends with when the flow of such a handler ends."""
OF_ITSELF = frozenset({"done", *CAUSES.values()})
"""Causes that give way to the reason why nobody is there any more."""


class Interpreter:
    """One conversation by a script. ``secrets`` are their texts by the script's names for them.

    ``script`` is the first one, whatever other it has handed over to.
    """

    def __init__(self, script: Script, secrets: Mapping[str, str]) -> None:
        self.script = script
        self._here = script
        self._secrets: dict[str, Json] = {name: secrets.get(name, "") for name in script.secrets}
        self._masks = Masks({name: secrets.get(name, "") for name in script.secrets})
        self._inputs = _inputs_of(script)
        self._memory = Memory()
        # An upper bound of the state's size, made exact when it reaches the script's limit.
        self._bytes = 0
        self._ended: Ended | None = None

    @classmethod
    def restore(cls, script: Script, saved: State, secrets: Mapping[str, str]) -> Interpreter:
        """Go on from a state: :meth:`resume` gives what it waits for. StateError."""
        self = cls(script, secrets)
        self._memory = state.read(saved, script, self._masks)
        self._go_to(script.part(self._memory.part) or script)
        self._bytes = self._measure()
        try:
            self.resume()
        except (Fault, ExpressionError) as error:
            raise StateError(f"its step cannot be taken up: {error}") from error
        return self

    def state(self) -> State:
        """All that has to be kept to go on."""
        return state.write(self._memory, self.script, self._masks)

    @property
    def ended(self) -> Ended | None:
        """How it ended; None before it has."""
        if self._ended is None:
            self._ended = ended_of(self._memory, self._here, self._masks)
        return self._ended

    @property
    def waiting(self) -> Waiting | None:
        """What it waits for; None before it began, and after it ended."""
        memory = self._memory
        if not memory.frames or memory.cause is not None:
            return None
        step = self._current()
        return Waiting(memory.turn, step.id, KINDS[type(step)])

    @property
    def limits(self) -> Limits:
        """The bounds of the conversation by the script that it is in."""
        return self._here.limits

    @property
    def alone(self) -> bool:
        """Whether the person is gone, and the script does what is left without."""
        return self._memory.gone is not None

    @property
    def age_ms(self) -> int:
        """How long ago it began, when the last event came."""
        return self._memory.now_ms - self._memory.began_ms

    @property
    def steps(self) -> int:
        """How many steps were taken; a question that is asked again is one each time."""
        return self._memory.steps

    @property
    def last_turn(self) -> StepTime | None:
        """The turn that ended last."""
        return self._memory.trace[-1] if self._memory.trace else None

    @property
    def turns_ended(self) -> int:
        """How many turns have ended."""
        return self._memory.left_out + len(self._memory.trace)

    def begin(self, event: Begin) -> list[Action]:
        """The first actions. A conversation begins once; another begin changes nothing."""
        memory = self._memory
        if memory.frames or memory.cause is not None:
            return []
        memory.channel = event.channel
        memory.began_ms = memory.now_ms = max(0, min(event.at_ms, state.MAX_AT_MS))
        start = self._here.flows[self._here.start]
        memory.frames.append(Frame(start.name, start.entry, "main", {}))
        self._bytes = EMPTY_BYTES + MAX_ESCAPE * (len(start.name) + self.script.longest_id)
        return self._go_on(lambda: self._set_up(event))

    def handle(self, event: Event) -> list[Action]:
        """The actions that follow from an event; none, where it comes too late or too early."""
        if isinstance(event, Begin):
            return self.begin(event)
        memory = self._memory
        if not memory.frames or memory.cause is not None:
            return []
        if isinstance(event, Left):
            return self._leave(event)
        if event.turn != memory.turn:
            return []
        self._set_clock(event.at_ms)
        step = self._current()
        return self._go_on(lambda: self._answer(step, event))

    def resume(self) -> list[Action]:
        """The action that is owed, once more, with the same turn; after the end, the last one."""
        memory = self._memory
        if not memory.frames:
            return []
        if memory.cause is not None:
            return [self._last_words()]
        return [self._action(self._current())]

    def stop(self, at_ms: int, cause: str) -> list[Action]:
        """End it from outside, at any time: a limit, or whoever runs it goes down."""
        if not self._memory.frames or self._memory.cause is not None:
            return []
        self._set_clock(at_ms)
        self._end_turn(self._current(), cause)
        return [self._end(cause)]

    # The way through the script.

    def _set_up(self, event: Begin) -> None:
        facts = dict(event.facts)
        self._take_room(self._size_of(facts))
        self._memory.facts = facts
        self._set_variables({})

    def _set_variables(self, given: Mapping[str, Json]) -> None:
        """Give the script's variables their first values, or those that were given."""
        for name, expression in self._here.variables:
            known = name in given
            self._assign(name, given[name] if known else expression.evaluate(self._scope()))

    def _go_to(self, script: Script) -> None:
        self._here = script
        self._inputs = _inputs_of(script)

    def _go_on(self, do: Callable[[], Action | None]) -> list[Action]:
        """``do`` something, then take steps until one waits, or it has ended."""
        silent = 0
        take: Callable[[], Action | None] = do
        while True:
            try:
                action = take()
            except (Fault, ExpressionError) as fault:
                action = self._fail(fault)
            if action is not None:
                return [action]
            silent += 1
            take = self._take_step
            if silent == MAX_SILENT_STEPS:
                take = _fail_endless
            elif silent > 2 * MAX_SILENT_STEPS:
                # The handler of the error has no end either.
                return [self._end("error")]

    def _take_step(self) -> Action | None:
        memory = self._memory
        frame = memory.frames[-1]
        if frame.at is None:
            return self._leave_flow(None)
        memory.steps += 1
        limit = self._here.limits.steps
        beyond = memory.steps - limit
        if beyond > 0 and (beyond > ERROR_STEPS or not self._active("error")):
            raise Exhausted("steps", f"more than {limit:,} steps")
        step = self._here.steps[frame.at]
        return _TAKE[type(step)](self, step)

    def _current(self) -> Step:
        at = self._memory.frames[-1].at
        assert at is not None
        return self._here.steps[at]

    def _move(self, step: Step, to: str | None = None) -> None:
        """Leave a step for another one, or for the one behind it."""
        frame = self._memory.frames[-1]
        frame.at = step.next if to is None else to
        frame.asked = None

    def _enter(self, frame: Frame) -> None:
        if len(self._memory.frames) >= state.MAX_FRAMES:
            raise Exhausted("depth", f"more than {state.MAX_FRAMES} sub-dialogues in each other")
        names = len(frame.flow) + len(frame.handler or "") + self.script.longest_id
        self._take_room(ROW_BYTES + names)
        self._memory.frames.append(frame)

    def _leave_flow(self, result: Json) -> Action | None:
        """The flow on top has ended: go on with what is below it."""
        memory = self._memory
        frame = memory.frames[-1]
        if frame.kind == "main":
            return self._end("done")
        if frame.handler in CAUSES:
            return self._end(CAUSES[frame.handler])
        memory.frames.pop()
        if frame.kind == "handler":
            # As after an event of VoiceXML: the question that was interrupted is visited again.
            asked = memory.frames[-1].asked
            if asked is not None:
                asked.said = "question"
            return None
        call = self._current()
        if isinstance(call, CallFlow) and call.into is not None:
            self._assign(call.into, result)
        self._move(call)
        return None

    def _fail(self, fault: Fault | ExpressionError) -> Action | None:
        """Something cannot be done: to the step's own branch, the handler ``error``, or the end."""
        if isinstance(fault, ExpressionError):
            fault = Fault("expression", str(fault))
        self._note_error(fault)
        at = self._memory.frames[-1].at
        step = None if at is None else self._here.steps[at]
        if (
            isinstance(step, Http | Transfer | Stream)
            and step.has_failed_branch
            and not isinstance(fault, Exhausted)
        ):
            self._move(step, step.failed)
            return None
        return self._to_handler("error", "error")

    def _note_error(self, fault: Fault) -> None:
        # Its size is bounded here, so that noting an error cannot fail for want of room.
        try:
            kept = fault.result if self._size_of(fault.result) <= MAX_HEARD_BYTES else None
        except Fault:
            kept = None
        self._memory.error = {
            "kind": state.cut(fault.kind, MAX_WORD_BYTES),
            "reason": state.cut(str(self._masks.blot(str(fault))), MAX_REASON_BYTES),
            "step": self._memory.frames[-1].at,
            "result": kept,
        }

    def _to_handler(self, name: str, cause: str) -> Action | None:
        """Enter a handler's flow, once at a time; end with the cause where that cannot be."""
        flow = self._flow_of(name)
        if flow is None or self._active(name):
            return self._end(cause)
        try:
            self._enter(self._handler_frame(name, flow))
        except Fault:
            return self._end(cause)
        return None

    def _flow_of(self, name: str) -> Flow | None:
        handler = self._here.handlers.get(name)
        return None if handler is None or handler.flow is None else self._here.flows[handler.flow]

    def _handler_frame(self, name: str, flow: Flow) -> Frame:
        variables = self._memory.frames[0].variables
        return Frame(flow.name, flow.entry, "handler", variables, handler=name)

    def _active(self, handler: str) -> bool:
        return any(frame.handler == handler for frame in self._memory.frames)

    def _end(self, cause: str, speech: Speech = ()) -> Action:
        memory = self._memory
        turn = self.last_turn
        memory.last_step = memory.frames[-1].at or (turn.step if turn else "")
        memory.cause = memory.gone if memory.gone and cause in OF_ITSELF else cause
        return actions.HangUpNow(step=memory.last_step, speech=speech, cause=memory.cause)

    def _last_words(self) -> Action:
        memory = self._memory
        step = self._here.steps.get(memory.last_step)
        speech: Speech = ()
        if isinstance(step, HangUp) and not memory.gone and memory.cause == step.cause:
            speech = self._speech(step.prompts)
        return actions.HangUpNow(step=memory.last_step, speech=speech, cause=memory.cause or "")

    # Steps that need nobody.

    def _take_set(self, step: Set) -> None:
        for name, expression in step.values:
            self._assign(name, expression.evaluate(self._scope()))
        self._move(step)

    def _take_choice(self, step: Choice) -> None:
        scope = self._scope()
        for case in step.cases:
            if case.when.evaluate(scope):
                return self._move(step, case.to)
        return self._move(step, step.otherwise)

    def _take_goto(self, step: Goto) -> None:
        frames = self._memory.frames
        if frames[-1].kind == "handler":
            # What the handler interrupted is left for good.
            del frames[1:]
        flow = self._here.flows[step.to_flow]
        frames[-1].flow, frames[-1].at, frames[-1].asked = flow.name, flow.entry, None

    def _take_call(self, step: CallFlow) -> None:
        scope = self._scope()
        arguments = {name: expression.evaluate(scope) for name, expression in step.arguments}
        self._take_room(self._size_of(arguments))
        flow = self._here.flows[step.to_flow]
        self._enter(Frame(flow.name, flow.entry, "call", arguments))

    def _take_hand_over(self, step: HandOver) -> Action | None:
        """Go on in another script, which has its own handlers, limits and report."""
        memory = self._memory
        if memory.gone:
            return self._end("done")
        if len(memory.reports) >= state.MAX_HAND_OVERS:
            most = state.MAX_HAND_OVERS
            raise Exhausted("hand-over", f"more than {most} times to another script")
        scope = self._scope()
        given = {name: expression.evaluate(scope) for name, expression in step.arguments}
        report = report_of(memory, self._here)
        other = self.script.part(step.script)
        assert other is not None
        names = len(report.script) + len(step.script) + len(other.start)
        self._take_room(ROW_BYTES + names * MAX_ESCAPE + self._size_of(dict(report.values)))
        memory.reports.append(report)
        memory.part = step.script
        self._go_to(other)
        start = other.flows[other.start]
        memory.frames[:] = [Frame(start.name, start.entry, "main", {})]
        self._set_variables(given)
        return None

    def _take_return(self, step: Return) -> Action | None:
        return self._leave_flow(None if step.value is None else step.value.evaluate(self._scope()))

    def _take_hang_up(self, step: HangUp) -> Action:
        speech = () if self._memory.gone else self._speech(step.prompts)
        return self._end(step.cause, speech)

    # Steps that wait.

    def _wait_for(self, step: Step) -> Action | None:
        """Give the step's action, if there is still somebody whom it needs."""
        memory = self._memory
        if memory.gone and not isinstance(step, Http):
            if not isinstance(step, Say):
                return self._end("done")
            self._move(step)
            return None
        if isinstance(step, Ask):
            self._visit(step)
        memory.turn += 1
        memory.turn_ms = memory.now_ms
        return self._action(step)

    def _visit(self, step: Ask) -> None:
        memory = self._memory
        if step.id not in memory.tallies:
            self._take_room(ROW_BYTES + len(step.id))
            memory.tallies[step.id] = Tally()
        memory.tallies[step.id].asked += 1
        frame = memory.frames[-1]
        if frame.asked is None:
            frame.asked = Asked()

    def _action(self, step: Step) -> Action:
        """The action of a step that waits: it follows from the memory alone."""
        action: Action = _ACTION[type(step)](self, step)
        return action

    def _say_now(self, step: Say) -> Action:
        return actions.SayNow(
            turn=self._memory.turn,
            step=step.id,
            speech=self._speech(step.prompts),
            barge_in=step.barge_in,
        )

    def _ask_now(self, step: Ask) -> Action:
        return actions.AskNow(
            turn=self._memory.turn,
            step=step.id,
            speech=self._speech(self._prompts_of(step)),
            barge_in=step.barge_in,
            input=step.input,
            handlers=self._open_inputs(),
            by=step.by or self._here.by,
            locale=self._here.locale,
        )

    def _prompts_of(self, step: Ask) -> Prompts:
        """The question, or what follows its n-th failure: the n-th prompts, or the last ones."""
        asked = self._memory.frames[-1].asked
        if asked is None or asked.said == "question":
            return step.prompts
        if asked.said == "no_input":
            escalating, count = step.retries.no_input, asked.no_input
        else:
            escalating, count = step.retries.no_match, asked.no_match
        return escalating[min(count, len(escalating)) - 1] if escalating else step.prompts

    def _open_inputs(self) -> dict[str, Input]:
        if len(self._memory.frames) == 1:
            return self._inputs
        return {name: given for name, given in self._inputs.items() if not self._active(name)}

    def _fetch_now(self, step: Http) -> Action:
        scope = self._scope()
        body = None if step.body is None else step.body.evaluate(scope)
        if _json_bytes(body) > MAX_BODY_BYTES:
            raise Fault("http", f"a body of more than {MAX_BODY_BYTES:,} bytes")
        headers = ((name, line_of(value, scope, "http", name)) for name, value in step.headers)
        return actions.FetchNow(
            turn=self._memory.turn,
            step=step.id,
            method=step.method,
            url=url_of(step.url, scope, "http"),
            headers=tuple(headers),
            body=body,
            deadline_ms=step.deadline_ms,
            retries=step.retries,
            filler=() if self._memory.gone else self._speech(step.filler),
        )

    def _record_now(self, step: Record) -> Action:
        return actions.RecordNow(
            turn=self._memory.turn,
            step=step.id,
            speech=self._speech(step.prompts),
            max_ms=step.max_ms,
            silence_ms=step.silence_ms,
            finish_keys=step.finish_keys,
            beep=step.beep,
        )

    def _transfer_now(self, step: Transfer) -> Action:
        return actions.TransferNow(
            turn=self._memory.turn,
            step=step.id,
            to=line_of(step.to, self._scope(), "transfer", "to"),
            timeout_ms=step.timeout_ms,
            speech=self._speech(step.prompts),
        )

    def _send_digits_now(self, step: SendDigits) -> Action:
        return actions.SendDigitsNow(
            turn=self._memory.turn, step=step.id, digits=digits_of(step.digits, self._scope())
        )

    def _stream_now(self, step: Stream) -> Action:
        scope = self._scope()
        return actions.StreamNow(
            turn=self._memory.turn,
            step=step.id,
            url=url_of(step.url, scope, "stream"),
            parameters={
                name: line_of(value, scope, "stream", name) for name, value in step.parameters
            },
            max_ms=step.max_ms,
            max_silence_ms=self._here.limits.silence_s * 1000,
        )

    # What comes back.

    def _answer(self, step: Step, event: Answer) -> Action | None:
        if isinstance(event, Failed):
            self._end_turn(step, f"failed: {state.cut(event.kind, MAX_WORD_BYTES)}")
            raise Fault(event.kind, event.reason, event.result)
        if isinstance(step, Ask):
            return self._answer_question(step, event)
        self._end_turn(step, "done")
        if isinstance(step, Http | Record | Stream):
            self._keep_result(step, event)
        elif isinstance(step, Transfer):
            self._memory.gone = "transferred"
        self._move(step)
        return None

    def _keep_result(self, step: Http | Record | Stream, event: Event) -> None:
        if not isinstance(event, Done) or not isinstance(event.result, dict):
            raise Fault("protocol", f"{type(event).__name__} is no answer to a {KINDS[type(step)]}")
        if step.into is not None:
            self._assign(step.into, event.result)

    def _answer_question(self, step: Ask, event: Done | Heard | NoInput | NoMatch) -> Action | None:
        if isinstance(event, NoInput):
            self._end_turn(step, "no-input")
            return self._miss(step, "no_input")
        if isinstance(event, Heard):
            if event.handler is not None:
                return self._answer_to_handler(step, event)
            if self._fits(step, event):
                return self._accept(step, event)
        elif isinstance(event, Done):
            self._end_turn(step, "failed: protocol")
            raise Fault("protocol", "Done is no answer to a question")
        self._end_turn(step, "no-match")
        return self._miss(step, "no_match")

    def _answer_to_handler(self, step: Ask, event: Heard) -> Action | None:
        """What is open at every question was said: ``repeat``, or a flow of its own."""
        name = event.handler or ""
        given = self._open_inputs().get(name)
        if given is None or not event.confidence >= given.min_confidence:
            self._end_turn(step, "no-match")
            return self._miss(step, "no_match")
        self._end_turn(step, name)
        self._note_heard(event)
        flow = self._flow_of(name)
        asked = self._memory.frames[-1].asked
        if flow is not None:
            self._enter(self._handler_frame(name, flow))
        elif asked is not None:
            # Asked again, and nothing counted.
            self._memory.tallies[step.id].repeats += 1
            asked.said = "question"
        return None

    def _fits(self, step: Ask, event: Heard) -> bool:
        if not event.confidence >= step.input.min_confidence:
            return False
        try:
            state.json_bytes(event.value)
        except state.UnfitValue:
            return False
        if step.valid is None:
            return True
        return bool(step.valid.evaluate({**self._scope(), "answer": event.value}))

    def _accept(self, step: Ask, event: Heard) -> Action | None:
        self._end_turn(step, "answered")
        memory, name = self._memory, step.into
        size = self._size_of(event.value)
        self._note_heard(event, size if name is None else 2 * size + len(name) + NAME_BYTES)
        memory.answer = event.value
        if name is not None:
            memory.frames[-1].variables[name] = event.value
        for branch in step.branches:
            if same(branch.value, event.value):
                self._move(step, branch.to)
                return None
        self._move(step)
        return None

    def _note_heard(self, event: Heard, more_bytes: int = 0) -> None:
        """Remember what was heard; ``more_bytes`` are of what is remembered beside it."""
        text, confidence = state.cut(event.text, MAX_HEARD_BYTES), float(event.confidence)
        if not math.isfinite(confidence):
            raise Fault("value", f"{confidence} is no number of JSON")
        self._take_room(HEARD_BYTES + self._size_of(text) + more_bytes)
        self._memory.heard = {"text": text, "mode": event.mode, "confidence": confidence}

    def _miss(self, step: Ask, kind: Literal["no_input", "no_match"]) -> Action | None:
        """Nothing was answered, or nothing that fits: asked again, or given up."""
        memory = self._memory
        asked, tally = memory.frames[-1].asked, memory.tallies[step.id]
        if asked is None:
            raise Fault("protocol", "an answer to a question that was not asked")
        retries = step.retries
        if kind == "no_input":
            asked.no_input += 1
            tally.no_input += 1
        else:
            asked.no_match += 1
            tally.no_match += 1
        asked.said = kind
        if (
            asked.no_input < retries.max_no_input
            and asked.no_match < retries.max_no_match
            and asked.no_input + asked.no_match < retries.max_total
        ):
            return None
        if retries.then is not None:
            self._move(step, retries.then)
            return None
        handler = "silence" if kind == "no_input" else "no_match"
        return self._to_handler(handler, CAUSES[handler])

    def _leave(self, event: Left) -> list[Action]:
        """The person has left: the handler ``hang_up`` has what can be done without."""
        memory = self._memory
        if memory.gone:
            return []
        self._set_clock(event.at_ms)
        step = self._current()
        self._end_turn(step, "left")
        memory.gone = "left"
        if isinstance(step, Record) and event.result is not None:
            # Who hangs up behind a message has left it (VoiceXML 2.1, 2.3.6).
            with suppress(Fault):
                self._assign(step.into, event.result)
        del memory.frames[1:]
        memory.frames[0].asked = None
        return self._go_on(lambda: self._to_handler("hang_up", "left"))

    def _end_turn(self, step: Step, outcome: str) -> None:
        memory = self._memory
        ms = memory.now_ms - memory.turn_ms
        began_ms = memory.turn_ms - memory.began_ms
        self._take_room(ROW_BYTES + len(step.id), for_trace=True)
        memory.trace.append(StepTime(step.id, began_ms, ms, outcome))
        if len(memory.trace) > state.MAX_TRACE:
            self._forget_turns(1)
        tally = memory.tallies.get(step.id)
        if tally is not None:
            tally.ms += ms
            tally.outcome = outcome

    def _set_clock(self, at_ms: int) -> None:
        if at_ms > self._memory.now_ms:
            self._memory.now_ms = min(at_ms, state.MAX_AT_MS)

    # Values, and room for them.

    def _scope(self) -> Scope:
        memory = self._memory
        return {
            **memory.frames[-1].variables,
            "answer": memory.answer,
            "channel": memory.channel,
            "error": memory.error,
            "facts": memory.facts,
            "heard": memory.heard,
            "now_ms": memory.now_ms,
            "secrets": self._secrets,
        }

    def _speech(self, prompts: Prompts) -> Speech:
        return speech_of(prompts, self._here, self._scope) if prompts else ()

    def _assign(self, name: str, value: Json) -> None:
        self._take_room(len(name) + NAME_BYTES + self._size_of(value))
        self._memory.frames[-1].variables[name] = value

    def _size_of(self, value: Json) -> int:
        """How much a value adds to the state. Fault, where it is no value for one."""
        try:
            return state.json_bytes(self._masks.hide(value) if self._secrets else value)
        except state.UnfitValue as error:
            raise Fault("value", str(error)) from error

    def _measure(self) -> int:
        frames = len(self._memory.frames) + 2
        return len(self.state().to_json()) + SPARE_BYTES + frames * self.script.longest_id

    def _take_room(self, more_bytes: int, *, for_trace: bool = False) -> None:
        """Count what is added to the state. Where it gets too large, the oldest turns go first.

        Fault, if that is not enough; but never for the trace, which then has the last turn alone.
        """
        limit = self._here.limits.state_bytes
        if self._bytes + more_bytes > limit:
            self._bytes = self._measure()
            while self._bytes + more_bytes > limit and self._memory.trace:
                self._forget_turns(1 + len(self._memory.trace) // 2)
                self._bytes = self._measure()
            if self._bytes + more_bytes > limit and not for_trace:
                raise Fault("state", f"more to remember than {limit:,} bytes (limits.state_bytes)")
        self._bytes += more_bytes

    def _forget_turns(self, count: int) -> None:
        del self._memory.trace[:count]
        self._memory.left_out += count


def _inputs_of(script: Script) -> dict[str, Input]:
    """What opens the script's handlers."""
    found = ((handler.name, handler.input) for handler in script.handlers.values())
    return {name: given for name, given in found if given is not None}


def _fail_endless() -> None:
    raise Exhausted("loop", f"{MAX_SILENT_STEPS} steps in a row that nobody hears")


def _json_bytes(value: Json) -> int:
    try:
        return state.json_bytes(value)
    except state.UnfitValue as error:
        raise Fault("value", str(error)) from error


_TAKE: dict[type[Step], Callable[[Interpreter, Any], Action | None]] = {
    Set: Interpreter._take_set,
    Choice: Interpreter._take_choice,
    Goto: Interpreter._take_goto,
    CallFlow: Interpreter._take_call,
    HandOver: Interpreter._take_hand_over,
    Return: Interpreter._take_return,
    HangUp: Interpreter._take_hang_up,
    **dict.fromkeys(KINDS, Interpreter._wait_for),
}
_ACTION: dict[type[Step], Callable[[Interpreter, Any], Action]] = {
    Say: Interpreter._say_now,
    Ask: Interpreter._ask_now,
    Http: Interpreter._fetch_now,
    Record: Interpreter._record_now,
    Transfer: Interpreter._transfer_now,
    SendDigits: Interpreter._send_digits_now,
    Stream: Interpreter._stream_now,
}
