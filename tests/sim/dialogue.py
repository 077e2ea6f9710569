"""Scripts put together by hand, and a conversation by one in virtual time."""

from __future__ import annotations

import functools

from ringwheel.robot.script import model
from ringwheel.robot.script.events import Begin, Done, Failed, Heard, Left, NoInput, NoMatch
from ringwheel.robot.script.expressions import Expression, Template
from ringwheel.robot.script.interpreter import Interpreter
from ringwheel.robot.script.model import Place

PLACE = Place(1, 1)
NOON_MS = 1_800_000_000_000
HASH = "5c" * 32


def e(source):
    return Expression.parse(source, PLACE)


def t(source):
    return Template.parse(source, PLACE)


def text(source):
    return (model.TextPrompt(t(source)),)


def step(kind, **fields):
    """A step that gets its id, and the one behind it, from where it stands."""
    return functools.partial(kind, place=PLACE, **fields)


def say(source, **fields):
    return step(model.Say, prompts=text(source), **fields)


def ask(into="x", source="a question", verb="ask", **fields):
    fields.setdefault("input", model.Input(free=True))
    return step(model.Ask, verb=verb, into=into, prompts=text(source), **fields)


def put(**values):
    return step(model.Set, values=tuple((name, e(source)) for name, source in values.items()))


def when(condition, to, otherwise=None):
    return step(model.Choice, cases=(model.Case(e(condition), to),), otherwise=otherwise)


def goto(flow):
    return step(model.Goto, to_flow=flow)


def call(flow, into=None, **arguments):
    given = tuple((name, e(source)) for name, source in arguments.items())
    return step(model.CallFlow, to_flow=flow, arguments=given, into=into)


def give_back(source=None):
    return step(model.Return, value=None if source is None else e(source))


def http(url="https://example.org/", into="reply", failed=None, **fields):
    options = {
        "method": "GET",
        "headers": (),
        "body": None,
        "deadline_ms": 3_000,
        "retries": 1,
        "filler": (),
        "has_failed_branch": failed is not None,
    }
    return step(model.Http, url=t(url), into=into, failed=failed, **(options | fields))


def record(into="message"):
    return step(
        model.Record,
        into=into,
        prompts=text("speak now"),
        max_ms=60_000,
        silence_ms=3_000,
        finish_keys="#",
        beep=True,
    )


def transfer(to="+4930123456", failed=None):
    return step(
        model.Transfer,
        to=t(to),
        timeout_ms=30_000,
        prompts=text("one moment"),
        failed=failed,
        has_failed_branch=failed is not None,
    )


def send_digits(digits):
    return step(model.SendDigits, digits=t(digits))


def stream(failed=None, into="streamed"):
    return step(
        model.Stream,
        url=t("wss://example.org/agent"),
        parameters=(("name", t("${facts.caller}")),),
        into=into,
        max_ms=60_000,
        failed=failed,
        has_failed_branch=failed is not None,
    )


def hang_up(cause, source=None):
    return step(model.HangUp, cause=cause, prompts=() if source is None else text(source))


def make_script(*main, flows=None, handlers=(), **options):
    """A script of lists of steps; a step's id is its flow and its place in the list."""
    steps, named = {}, {}
    for name, parts in {"main": main, **(flows or {})}.items():
        for place, part in enumerate(parts):
            behind = f"{name}.{place + 1}" if place + 1 < len(parts) else None
            made = part(id=f"{name}.{place}", flow=name, next=behind)
            steps[made.id] = made
        named[name] = model.Flow(name, PLACE, f"{name}.0" if parts else None)
    options.setdefault("locale", "en-US")
    given = {
        name: model.Handler(name, PLACE, flow, model.Input(free=True) if open_ else None)
        for name, flow, open_ in handlers
    }
    return model.Script(
        name="test", hash=HASH, start="main", steps=steps, flows=named, handlers=given, **options
    )


class Talk:
    """A conversation: each event is answered by the action that is owed next."""

    def __init__(self, script, secrets=None, facts=None, now_ms=NOON_MS):
        self.interpreter = Interpreter(script, secrets or {})
        self.now_ms = now_ms
        (self.action,) = self.interpreter.begin(Begin(at_ms=now_ms, facts=facts or {}))

    def give(self, event, /, after_ms=1_000, **fields):
        """An event of that class, so much later."""
        self.now_ms += after_ms
        if event is not Left:
            fields.setdefault("turn", self.action.turn)
        actions = self.interpreter.handle(event(at_ms=self.now_ms, **fields))
        if actions:
            (self.action,) = actions
        return self

    def done(self, result=None, **fields):
        return self.give(Done, result=result, **fields)

    def hears(self, value, mode="speech", **fields):
        return self.give(Heard, value=value, text=str(value), mode=mode, **fields)

    def silence(self, **fields):
        return self.give(NoInput, **fields)

    def misfit(self, **fields):
        return self.give(NoMatch, **fields)

    def fails(self, kind="http", reason="it broke", **fields):
        return self.give(Failed, kind=kind, reason=reason, **fields)

    def leaves(self, **fields):
        return self.give(Left, cause="BYE", **fields)

    @property
    def said(self):
        """The words of the action that is owed."""
        return " ".join(spoken.text for spoken in self.action.speech)

    @property
    def at(self):
        return self.action.step

    @property
    def ended(self):
        return self.interpreter.ended
