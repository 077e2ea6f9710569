"""The short form for surveys: a list of questions becomes ordinary steps.

It is rewritten as the tree of a flow, each node with the place of what it was made from, and then
compiled as any other: so an error in it has its line, and nothing runs that ``steps`` could not.
"""

from __future__ import annotations

import re2

from .forms import Form, Reader
from .place import Place
from .source import Entry, Items, Node, Scalar, Table

QUESTIONNAIRE = ("intro", "questions", "quotas", "thanks", "retries", "barge_in")
QUESTION = (
    "id",
    "ask",
    "answer",
    "when",
    "score",
    "end",
    "optional",
    "valid",
    "retries",
    "by",
    "barge_in",
    "listen",
    "timing",
    "confidence",
    "finish_key",
)
QUOTA = ("when", "say")
END = ("when", "say", "cause")
FACT_OF_QUOTAS = "quotas_full"
"""The fact of a call that names the quotas which are full: whoever runs the survey counts them."""
PASSED_ON = (
    "answer",
    "valid",
    "by",
    "barge_in",
    "listen",
    "timing",
    "confidence",
    "finish_key",
    "retries",
)
MOST_QUESTIONS = 300


def steps_of(node: Node, reader: Reader) -> Node:
    """The steps that a questionnaire stands for."""
    form = reader.form(node, QUESTIONNAIRE, "a questionnaire", ("questions",))
    questions = None if form is None else form.get("questions")
    if form is None or questions is None:
        return Items(node.place, ())
    items = reader.items(questions, "questions", MOST_QUESTIONS)
    quotas = _quotas(reader, form, _ids(items))
    steps = [*_begin(form, items), *quotas.get(None, ())]
    seen: dict[str, Place] = {}
    for item in items:
        question = _Question(reader, form, seen)
        steps += question.steps(item)
        steps += quotas.pop(question.name, ()) if question.name is not None else ()
    thanks = form.get("thanks")
    place = form.place if thanks is None else form.place_of("thanks")
    said = {} if thanks is None else {"say": thanks}
    done = {"cause": _text(place, "completed"), **said}
    steps.append(_step(place, "hang_up", _table(place, done)))
    return Items(node.place, tuple(steps))


def _begin(form: Form, questions: tuple[Node, ...]) -> list[Node]:
    """What comes before the first question: the variable of the score, and the intro."""
    steps: list[Node] = []
    if any(isinstance(item, Table) and "score" in item.entries for item in questions):
        steps.append(_set(form.place, "score", "0"))
    intro = form.get("intro")
    if intro is not None:
        steps.append(_step(form.place_of("intro"), "say", intro))
    return steps


class _Question:
    """One question of a questionnaire."""

    def __init__(self, reader: Reader, form: Form, seen: dict[str, Place]) -> None:
        self._reader = reader
        self._whole = form
        self._seen = seen
        self.name: str | None = None

    def steps(self, node: Node) -> list[Node]:
        """The question, what is counted of its answer, and what may end the survey behind it."""
        form = self._reader.form(node, QUESTION, "a question", ("id", "ask", "answer"))
        if form is None:
            return []
        name = self.name = self._name(form)
        if name is None:
            return []
        steps = [
            self._ask(form, name),
            *self._score(form, name),
            *self._end(form),
        ]
        when = form.get("when")
        if when is None:
            return steps
        place = form.place_of("when")
        # A question that is left out has an answer all the same, for those that refer to it.
        otherwise = Items(place, (_set(place, name, "null"),))
        branches = {"when": when, "then": Items(place, tuple(steps)), "else": otherwise}
        return [_step(place, "if", _table(place, branches))]

    def _name(self, form: Form) -> str | None:
        node = form.get("id")
        name = None if node is None else self._reader.variable(node)
        if node is None or name is None:
            return None
        if name in self._seen:
            cause = f"`{name}` is the question of line {self._seen[name].line} already"
            self._reader.problems.error("duplicate-key", node.place, cause, "Give it another id")
            return None
        self._seen[name] = node.place
        return name

    def _ask(self, form: Form, name: str) -> Node:
        ask = form.get("ask")
        place = form.place_of("ask")
        values: dict[str, Node] = {"into": _text(form.place_of("id"), name)}
        if ask is not None:
            values["prompt"] = ask
        for key in PASSED_ON:
            value = form.get(key) or (self._whole.get(key) if key in QUESTIONNAIRE else None)
            if value is not None:
                values[key] = value
        if self._is_optional(form):
            values["retries"] = self._skipping(form, name, values.get("retries"))
        return _step(place, "ask", _table(form.place, values))

    def _is_optional(self, form: Form) -> bool:
        node = form.get("optional")
        return node is not None and self._reader.flag(node, "`optional`") is True

    def _skipping(self, form: Form, name: str, retries: Node | None) -> Node:
        """Retries behind which the survey goes on without the answer."""
        place = form.place_of("optional")
        skip = Items(place, (_set(place, name, "null"),))
        if isinstance(retries, Table):
            # The question's own `then` comes first, and that of the whole survey last.
            own = form.get("retries") is retries and "then" in retries.entries
            then = retries.entries["then"] if own else Entry("then", place, skip)
            return Table(retries.place, {**retries.entries, "then": then})
        values: dict[str, Node] = {"then": skip}
        if isinstance(retries, Scalar) and type(retries.value) is int:
            most = Scalar(retries.place, retries.value + 1, str(retries.value + 1))
            values |= dict.fromkeys(("max_no_input", "max_no_match", "max_total"), most)
        return _table(place, values)

    def _score(self, form: Form, name: str) -> list[Node]:
        """Points: an expression, or a mapping from answers to points."""
        node = form.get("score")
        if node is None:
            return []
        place = form.place_of("score")
        if not isinstance(node, Table):
            counted = self._reader.expression(node)
            if counted is None:
                return []
            # What was not answered has no points: there may be none to count for null.
            points = f"({counted.source}) if {name} != null else 0"
            return [_set(place, "score", f"score + ({points})")]
        pairs: list[str] = []
        for entry in node.entries.values():
            number = self._reader.number(entry.value, "points", -1_000_000, 1_000_000)
            # An answer of yes or no is a truth value, which is written as JSON has it.
            keys = {entry.key, {"yes": "true", "no": "false"}.get(entry.key, entry.key)}
            pairs += [f"{key!r}: {0 if number is None else number}" for key in sorted(keys)]
        table = f"{{{', '.join(pairs)}}}"
        return [_set(place, "score", f"score + get({table}, str({name}), 0)")]

    def _end(self, form: Form) -> list[Node]:
        """An answer that ends the survey."""
        node = form.get("end")
        if node is None:
            return []
        end = self._reader.form(node, END, "`end`", ("when",))
        when = None if end is None else end.get("when")
        if end is None or when is None:
            return []
        place = form.place_of("end")
        cause = end.get("cause") or _text(place, "screened-out")
        return [_ending(place, when, cause, end.get("say"))]


def _ids(questions: tuple[Node, ...]) -> tuple[str, ...]:
    """The names of the questions, as far as they have one."""
    tables = (item for item in questions if isinstance(item, Table))
    entries = (table.entries.get("id") for table in tables)
    return tuple(e.value.text for e in entries if e is not None and isinstance(e.value, Scalar))


def _quotas(reader: Reader, form: Form, ids: tuple[str, ...]) -> dict[str | None, list[Node]]:
    """What ends the survey where a quota is full, by the question behind which that is known: the
    last one that its condition names, or None before the first."""
    node = form.get("quotas")
    found: dict[str | None, list[Node]] = {}
    for entry in () if node is None else reader.entries(node, "quotas", 100):
        quota = reader.form(entry.value, QUOTA, f"the quota `{entry.key[:60]}`", ("when",))
        when = None if quota is None else quota.get("when")
        condition = None if when is None else reader.expression(when)
        if quota is None or when is None or condition is None:
            continue
        last = next((name for name in reversed(ids) if name in condition.names), None)
        both = _text(when.place, f"({condition.source}) and {_is_full(entry.key)}")
        cause = _text(entry.place, "quota-full")
        found.setdefault(last, []).append(_ending(entry.place, both, cause, quota.get("say")))
    return found


def _is_full(quota: str) -> str:
    """The condition that a quota is full: the fact is a list of names, or a text with commas
    between them, as a table of numbers to call has it."""
    fact = f"get(facts, '{FACT_OF_QUOTAS}', [])"
    pattern = rf"(.*,)?\s*{re2.escape(quota)}\s*(,.*)?"
    return f"(matches({fact}, {pattern!r}) if str({fact}) == {fact} else {quota!r} in {fact})"


def _text(place: Place, text: str) -> Scalar:
    return Scalar(place, text, text)


def _table(place: Place, values: dict[str, Node]) -> Table:
    return Table(place, {key: Entry(key, value.place, value) for key, value in values.items()})


def _step(place: Place, verb: str, value: Node) -> Table:
    return Table(place, {verb: Entry(verb, place, value)})


def _set(place: Place, name: str, source: str) -> Table:
    return _step(place, "set", _table(place, {name: _text(place, source)}))


def _ending(place: Place, when: Node, cause: Node, said: Node | None) -> Table:
    """The survey ends here if ``when`` holds."""
    words = {} if said is None else {"say": said}
    hang_up = _step(place, "hang_up", _table(place, {"cause": cause, **words}))
    branch = Items(place, (hang_up,))
    return _step(place, "if", _table(place, {"when": when, "then": branch}))
