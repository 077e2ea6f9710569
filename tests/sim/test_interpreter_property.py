"""Random scripts, random events in any order: nothing raises, nothing stalls, and a conversation
that is saved and taken up elsewhere after every event is the same, action for action."""

import dataclasses
import json
from pathlib import Path

from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st
from ringwheel.robot.script import actions, model, state
from ringwheel.robot.script.compiler import compile_source, load_script
from ringwheel.robot.script.events import Begin, Done, Failed, Heard, Left, NoInput, NoMatch
from ringwheel.robot.script.interpreter import ERROR_STEPS, Interpreter
from ringwheel.robot.script.state import State, StateError

from .dialogue import HASH, NOON_MS, PLACE, e, t

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "scripts"
SECRET = "s3cret-text"
NAMES = ("a", "b", "c", "answered")
START = (("a", e("1")), ("b", e("'text'")), ("c", e("[]")))
GOOD = ("1", "'text'", "true", "null", "[1, 'two', null]", "{'k': a}", "a", "b", "c", "answer",
        "a == b", "now_ms % 7", "secrets.key", "channel", "not a", "str(a) + str(b)",
        "str(c) + str(c) + '" + "x" * 99 + "'")  # fmt: skip
BAD = ("a + b", "len(a)", "facts.n", "unknown", "1 / 0", "heard.text", "error.kind",
       "secrets.key + a", "a > b")  # fmt: skip
GOOD_TEXTS = ("", "words", "12#", "${a}", "${a} and ${b}", "${secrets.key}")
BAD_TEXTS = ("${unknown}", "${facts.n}", "${heard.text}", "${error.reason}", "../${a}", "${1 / 0}",
             "x" * 3_000)  # fmt: skip
HANDLERS = ("operator", "repeat", "silence", "no_match", "hang_up", "error", "own")

# Mostly good ones: else most conversations end with their first step.
expressions = st.sampled_from([e(source) for source in GOOD * 5 + BAD])
templates = st.sampled_from([t(source) for source in GOOD_TEXTS * 9 + BAD_TEXTS])
names = st.sampled_from(NAMES)
maybe_name = st.none() | names
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=9)
    | st.just(SECRET) | st.just("x" * 2_500),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
prompts = st.lists(
    st.builds(model.TextPrompt, templates, ssml=st.booleans())
    | st.builds(model.FilePrompt, templates, st.none() | templates)
    | st.builds(model.PausePrompt, st.integers(0, 500))
    | st.builds(
        model.ValuePrompt, expressions, st.sampled_from(["number", "date", "list", "characters"])
    ),
    max_size=2,
).map(tuple)
inputs = st.builds(model.Input, free=st.booleans(), min_confidence=st.sampled_from([0.0, 0.5]))


@st.composite
def retries(draw, targets):
    return model.Retries(
        no_input=tuple(draw(st.lists(prompts, max_size=2))),
        no_match=tuple(draw(st.lists(prompts, max_size=2))),
        max_no_input=draw(st.integers(1, 3)),
        max_no_match=draw(st.integers(1, 3)),
        max_total=draw(st.integers(1, 4)),
        then=draw(targets),
    )


def fields_of(kind, targets, flows):
    """Strategies for what a step of that kind has, but for its name and place."""
    failing = {"failed": targets, "has_failed_branch": st.booleans()}
    pairs = st.lists(st.tuples(names, templates), max_size=2).map(tuple)
    given_values = st.lists(st.tuples(names, expressions), max_size=2).map(tuple)
    branches = st.lists(st.builds(model.Branch, json_values, targets), max_size=2).map(tuple)
    cases = st.lists(st.builds(model.Case, expressions, targets), max_size=2).map(tuple)
    return {
        model.Say: {"prompts": prompts},
        model.Ask: {
            "verb": st.sampled_from(["ask", "confirm", "choose"]),
            "into": maybe_name,
            "prompts": prompts,
            "input": inputs,
            "retries": retries(targets),
            "branches": branches,
            "valid": st.none() | expressions,
        },
        model.Set: {"values": given_values},
        model.Choice: {"cases": cases, "otherwise": targets},
        model.Goto: {"to_flow": flows},
        model.CallFlow: {"to_flow": flows, "arguments": given_values, "into": maybe_name},
        model.Return: {"value": st.none() | expressions},
        model.Http: {
            "method": st.just("GET"),
            "url": templates,
            "headers": pairs,
            "body": st.none() | expressions,
            "into": maybe_name,
            "deadline_ms": st.just(1_000),
            "retries": st.just(1),
            "filler": prompts,
            **failing,
        },
        model.Record: {
            "into": names,
            "prompts": prompts,
            "max_ms": st.just(9_000),
            "silence_ms": st.just(900),
            "finish_keys": st.just("#"),
            "beep": st.booleans(),
        },
        model.Transfer: {
            "to": templates,
            "timeout_ms": st.just(9_000),
            "prompts": prompts,
            **failing,
        },
        model.SendDigits: {"digits": templates},
        model.Stream: {
            "url": templates,
            "parameters": pairs,
            "into": maybe_name,
            "max_ms": st.just(9_000),
            **failing,
        },
        model.HandOver: {"script": st.sampled_from(["", "other"]), "arguments": given_values},
        model.HangUp: {"cause": st.sampled_from(["bye", "done"]), "prompts": prompts},
    }[kind]


KINDS = (model.Say, model.Ask, model.Ask, model.Ask, model.Ask, model.Set, model.Choice, model.Goto,
         model.CallFlow, model.Return, model.Http, model.Record, model.Transfer, model.SendDigits,
         model.Stream, model.HandOver, model.HangUp)  # fmt: skip


@st.composite
def scripts(draw):
    """A script, and another one: each may hand over to both."""
    first, other = draw(one_script("", 4)), draw(one_script("other:", 1))
    other = dataclasses.replace(other, limits=first.limits)
    return dataclasses.replace(first, others={"other": other})


@st.composite
def one_script(draw, prefix, most):
    lengths = {name: draw(st.integers(0, most)) for name in ("one", "two")}
    lengths["main"] = draw(st.integers(1, most + 1))
    flows = st.sampled_from(sorted(lengths))
    steps = {}
    for name, length in lengths.items():
        ids = [f"{prefix}{name}.{place}" for place in range(length)]
        targets = st.none() | st.sampled_from(ids or [None])
        for place, own in enumerate(ids):
            kind = draw(st.sampled_from(KINDS))
            fields = draw(st.fixed_dictionaries(fields_of(kind, targets, flows)))
            behind = ids[place + 1] if place + 1 < length else None
            steps[own] = kind(id=own, place=PLACE, flow=name, next=behind, **fields)
    handlers = {
        name: model.Handler(
            name, PLACE, None if name == "repeat" else draw(flows), draw(st.none() | inputs)
        )
        for name in draw(st.sets(st.sampled_from(HANDLERS)))
    }
    return model.Script(
        name="random",
        hash=HASH,
        locale=draw(st.sampled_from(["en", "de-DE", "zh"])),
        start="main",
        steps=steps,
        flows={
            name: model.Flow(name, PLACE, f"{prefix}{name}.0" if length else None)
            for name, length in lengths.items()
        },
        handlers=handlers,
        variables=(*START, *draw(st.lists(st.tuples(names, expressions), max_size=2))),
        secrets={"key": "KEY"},
        report=NAMES,
        limits=model.Limits(
            steps=draw(st.sampled_from([1, 5, 30, 100])),
            state_bytes=draw(st.sampled_from([2_048, 4_096, 16_384])),
        ),
    )


# What happens, and how far its turn is from the one that is owed: mostly it is that one.
off_by = st.sampled_from([0] * 9 + [-1, -2, 1])
happenings = st.one_of(
    st.tuples(st.just(Done), off_by, st.fixed_dictionaries({"result": json_values})),
    st.tuples(
        st.just(Done),
        off_by,
        st.fixed_dictionaries(
            {"result": st.fixed_dictionaries({"status": st.just(200), "body": json_values})}
        ),
    ),
    st.tuples(
        st.just(Heard),
        off_by,
        st.fixed_dictionaries(
            {
                "mode": st.sampled_from(["speech", "dtmf", "text"]),
                "text": st.text(max_size=300),
                "value": json_values,
                "confidence": st.sampled_from([1.0, 0.2, float("nan")]),
                "handler": st.none() | st.sampled_from((*HANDLERS, "nobody")),
            }
        ),
    ),
    st.tuples(st.just(NoInput), off_by, st.just({})),
    st.tuples(st.just(NoMatch), off_by, st.just({})),
    st.tuples(
        st.just(Failed),
        off_by,
        st.fixed_dictionaries(
            {"kind": st.text(max_size=99), "reason": st.text(), "result": json_values}
        ),
    ),
    st.tuples(st.just(Begin), st.just(0), st.just({})),
)
leaving = st.tuples(st.just(Left), st.just(0), st.just({"cause": "BYE"}))
times = st.integers(-9_000, 60_000)


@st.composite
def stories(draw):
    """What happens: most of it fits, and only at the end somebody leaves."""
    fitting = st.sampled_from([True, True, True, True, False])
    story = draw(st.lists(st.tuples(happenings, times, fitting), max_size=30))
    if draw(st.booleans()):
        story.append((draw(leaving), draw(times), True))
        story += draw(st.lists(st.tuples(happenings, times, fitting), max_size=4))
    return story


def saved_and_restored(interpreter, script):
    text = interpreter.state().to_json()
    assert SECRET not in text or not script.secrets
    assert len(text) <= script.limits.state_bytes
    return Interpreter.restore(script, State.from_json(text), {"key": SECRET})


def check(interpreter, owed):
    """There is an action that is owed, or an end; and it can be had once more."""
    if interpreter.ended is not None:
        assert isinstance(owed, actions.HangUpNow)
        assert owed.cause == interpreter.ended.cause
        assert interpreter.waiting is None
        told = json.dumps(dataclasses.asdict(interpreter.ended)["reports"])
        assert SECRET not in told or not interpreter.script.secrets
    else:
        assert interpreter.waiting.turn == owed.turn
        assert interpreter.waiting.step == owed.step
    assert interpreter.resume() == [owed]


def fitted(owed, kind, fields):
    """The event as the action may be answered: questions by what was heard, others by Done."""
    asked = isinstance(owed, actions.AskNow)
    if asked and kind is Done:
        return Heard, {"mode": "dtmf", "text": "7", "value": fields["result"]}
    if not asked and kind in (Heard, NoInput, NoMatch):
        return Done, {"result": {"status": 200, "body": fields.get("value")}}
    return kind, fields


def event_of(kind, turn, at_ms, fields):
    if kind in (Begin, Left):
        return kind(at_ms=at_ms, **fields)
    return kind(at_ms=at_ms, turn=turn, **fields)


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    scripts(),
    st.dictionaries(st.sampled_from(["n", "caller"]), json_values),
    stories(),
)
def test_any_script_goes_through_any_events(script, facts, story):
    goes_through(script, facts, story)


def goes_through(script, facts, story):
    """One that is never saved and one that always is, side by side."""
    one = Interpreter(script, {"key": SECRET})
    other = saved_and_restored(one, script)
    now_ms = NOON_MS
    begin = Begin(at_ms=now_ms, facts=facts)
    (owed,) = one.handle(begin)
    assert other.handle(begin) == [owed]
    for (happened, off, given_fields), later_ms, fits in story:
        kind, fields = happened, given_fields
        if fits:
            kind, fields = fitted(owed, happened, given_fields)
        check(one, owed)
        other = saved_and_restored(other, script)
        check(other, owed)
        before = one.state()
        now_ms += later_ms
        turn = getattr(owed, "turn", 1) + off
        event = event_of(kind, turn, now_ms, fields)
        note(f"{owed.step}: {event}")
        followed = one.handle(event)
        assert other.handle(event) == followed
        assert one.ended == other.ended
        assert one.state() == other.state()
        if off:
            # Too late, or too early: nothing has changed.
            assert not followed
            assert one.state() == before
        if followed:
            (owed,) = followed
    check(one, owed)
    comes_to_an_end(one, owed, now_ms)


def lists_of(step):
    return st.lists(step, min_size=1, max_size=3)


def with_branches(step):
    """Steps as they are written that hold lists of steps."""
    then = lists_of(step)
    return st.one_of(
        st.builds(
            lambda when, then, other: {"if": {"when": when, "then": then, "else": other}},
            st.sampled_from(GOOD),
            then,
            then,
        ),
        st.builds(
            lambda yes, no: {"confirm": {"prompt": "Yes?", "yes": yes, "no": no}}, then, then
        ),
        st.builds(
            lambda one, gone: {
                "choose": {
                    "prompt": ["One?", {"number": "now_ms % 7"}],
                    "into": "a",
                    "options": {
                        "one": {"key": 1, "phrases": ["one"], "then": one},
                        "two": {"key": 2},
                    },
                    "retries": {"no_input": ["Hello?"], "max_total": 2, "then": gone},
                }
            },
            then,
            then,
        ),
        st.builds(
            lambda failed: {
                "http": {"url": "https://a.example/${a}", "into": "b", "failed": failed}
            },
            then,
        ),
    )


written_steps = st.recursive(
    st.sampled_from(
        [
            {"say": "words ${a}"},
            {"ask": {"into": "c", "prompt": "How many?", "answer": {"digits": 2}}},
            {"ask": {"into": "b", "prompt": "What?", "answer": "text", "valid": "answer != a"}},
            {"set": {"a": "str(b) + 'x'"}},
            {"http": {"url": "https://a.example/", "into": "b", "filler": "Wait."}},
            {"call": {"flow": "other", "with": {"given": "a"}, "into": "c"}},
            {"goto": "main"},
            {"hang_up": "enough"},
        ]
    ),
    with_branches,
    max_leaves=8,
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(lists_of(written_steps), lists_of(written_steps), stories())
def test_random_scripts_as_they_are_written(steps, more, story):
    source = {
        "ringwheel": 1,
        "locale": "en-GB",
        "variables": {"a": 1, "b": None, "c": "text"},
        "report": ["a", "b", "c"],
        "on": {"operator": {"phrases": ["operator"], "then": more}, "error": more},
        "limits": {"steps": 60, "state": 2_048},
        "steps": steps,
        "flows": {
            "other": {
                "parameters": ["given"],
                "steps": [{"set": {"a": "given", "b": "null", "c": "1"}}, *more, {"return": "a"}],
            }
        },
    }
    compiled = compile_source(json.dumps(source).encode(), EXAMPLES)
    assert compiled.script is not None, compiled.problems
    goes_through(compiled.script, {}, story)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(["menu", "survey", "appointment"]), stories())
def test_scripts_as_they_are_written_go_through_them_too(name, story):
    goes_through(load_script(EXAMPLES / f"{name}.yaml"), {"caller": "+4930"}, story)


def comes_to_an_end(interpreter, owed, now_ms):
    """Whoever keeps answering comes to an end, within the limit of steps."""
    turns = 0
    while interpreter.ended is None:
        turns += 1
        assert turns <= interpreter.script.limits.steps + ERROR_STEPS + 2
        asked = isinstance(owed, actions.AskNow)
        result = {"status": 200, "body": 1}
        event = (
            Heard(at_ms=now_ms, turn=owed.turn, mode="text", text="yes", value=True)
            if asked
            else Done(at_ms=now_ms, turn=owed.turn, result=result)
        )
        (owed,) = interpreter.handle(event)
    check(interpreter, owed)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(scripts(), st.data())
def test_a_state_with_anything_in_it_is_taken_or_refused(script, data):
    interpreter = Interpreter(script, {"key": SECRET})
    interpreter.begin(Begin(at_ms=NOON_MS))
    document = json.loads(interpreter.state().to_json())
    places = [(document, key) for key in {**document, "part": "", "reports": []}]
    places += [(frame, key) for frame in document["frames"] for key in frame]
    holder, key = data.draw(st.sampled_from(places))
    holder[key] = data.draw(
        json_values | st.sampled_from(["main.0", "one", "error", "other", [["first", {}]]])
    )
    try:
        again = Interpreter.restore(script, State(document), {"key": SECRET})
    except StateError:
        return
    if again.ended is None and again.waiting is not None:
        (owed,) = again.resume()
        comes_to_an_end(again, owed, NOON_MS)


@given(st.text(max_size=200) | st.binary(max_size=200))
@example('{"version":' * 3)
def test_what_is_no_state_is_refused(text):
    try:
        saved = State.from_json(text)
    except StateError:
        return
    assert isinstance(saved.document, dict)


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=4))
def test_no_value_is_larger_than_it_is_taken_for(value):
    try:
        most = state.json_bytes(value)
    except state.UnfitValue:
        return
    assert len(json.dumps(value, separators=(",", ":"), allow_nan=False)) <= most


@given(st.lists(st.text(alphabet="abc\x1a", max_size=30)), st.sets(st.text("abc\x1a", min_size=4)))
def test_what_is_masked_comes_back(texts, secrets):
    masks = state.Masks({f"s{place}": text for place, text in enumerate(sorted(secrets))})
    value = {"texts": texts}
    assert masks.show(masks.hide(value)) == value


def test_the_kinds_of_steps_are_all_there():
    ready = {kind for kind in vars(model).values() if isinstance(kind, type)
             and issubclass(kind, model.Step) and kind is not model.Step}  # fmt: skip
    assert set(KINDS) == ready
    assert all(dataclasses.is_dataclass(kind) for kind in ready)
