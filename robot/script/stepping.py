"""Compiles lists of steps: each verb of the language has a method here, and its keys a row.

A step's id is where it stands: its flow, its place in the list, and for those in a branch the
branch's key (``main.3.then.0``). A branch is a list of steps, or the name of a flow to go on at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, cast

from .answers import ANSWER_KEYS, AnswerReader
from .expressions import Expression, Template
from .forms import Form, Reader
from .linking import Source
from .model import (
    Ask,
    Branch,
    CallFlow,
    Case,
    Choice,
    Goto,
    HandOver,
    HangUp,
    Http,
    Input,
    Prompts,
    Record,
    Retries,
    Return,
    Say,
    SendDigits,
    Set,
    Step,
    Stream,
    Transfer,
)
from .nearest import suggestion
from .place import Place
from .prompting import PromptReader, inside
from .source import Items, Node, Scalar, Table

Verb = Literal["ask", "confirm", "choose"]
MOST_STEPS = 5_000
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
QUESTION_KEYS = ("prompt", "barge_in", "retries", "by", "valid", *ANSWER_KEYS)
RETRIES = ("no_input", "no_match", "max_no_input", "max_no_match", "max_total", "then")
KEYS: dict[str, tuple[str, ...]] = {
    "say": ("prompt", "barge_in"),
    "ask": ("into", "answer", *QUESTION_KEYS),
    "confirm": ("into", "yes", "no", *QUESTION_KEYS),
    "choose": ("into", "options", *QUESTION_KEYS),
    "set": (),
    "if": ("when", "then", "else"),
    "switch": ("value", "cases", "else"),
    "call": ("flow", "with", "into"),
    "goto": (),
    "return": (),
    "http": (
        "method",
        "url",
        "headers",
        "body",
        "into",
        "deadline",
        "retries",
        "filler",
        "failed",
    ),
    "record": ("into", "prompt", "longest", "end_of_speech", "finish_keys", "beep"),
    "transfer": ("to", "prompt", "timeout", "failed", "script", "with"),
    "send_digits": (),
    "stream": ("url", "parameters", "into", "longest", "failed"),
    "hang_up": ("cause", "say"),
}
"""The verbs, and the keys of each; those without take a value of their own."""


@dataclass(frozen=True, slots=True)
class At:
    """Where a step stands: what every step has."""

    place: Place
    id: str
    flow: str
    next: str | None

    @property
    def common(self) -> dict[str, Any]:
        """As arguments of a step."""
        return {"id": self.id, "place": self.place, "flow": self.flow, "next": self.next}


class StepReader:
    """Reads steps into ``steps``. ``flows`` are the names of all flows, ``source`` says which of
    the scripts that are compiled together this is."""

    def __init__(
        self,
        reader: Reader,
        prompts: PromptReader,
        answers: AnswerReader,
        flows: frozenset[str],
        source: Source,
    ) -> None:
        self.steps: dict[str, Step] = {}
        self._reader = reader
        self._problems = reader.problems
        self._prompts = prompts
        self._answers = answers
        self._flows = flows
        self._source = source
        self._verbs: dict[str, Callable[[At, Node], Step | None]] = {
            "say": self._say,
            "ask": self._ask,
            "confirm": self._confirm,
            "choose": self._choose,
            "set": self._set,
            "if": self._if,
            "switch": self._switch,
            "call": self._call,
            "goto": self._goto,
            "return": self._return,
            "http": self._http,
            "record": self._record,
            "transfer": self._transfer,
            "send_digits": self._send_digits,
            "stream": self._stream,
            "hang_up": self._hang_up,
        }

    def read(self, node: Node, path: str, flow: str, after: str | None) -> str | None:
        """Compile a list of steps. The id of its first, or ``after`` where it has none."""
        items = self._reader.items(node, "steps")
        ids = [f"{path}.{index}" for index in range(len(items))]
        for item, id_, next_ in zip(items, ids, [*ids[1:], after], strict=False):
            if len(self.steps) >= MOST_STEPS:
                text = f"there are more than {MOST_STEPS} steps"
                self._problems.error("too-large", item.place, text, "Split the script")
                break
            step = self._step(item, id_, flow, next_)
            if step is not None:
                self.steps[id_] = step
        return ids[0] if ids else after

    def branch(self, node: Node | None, path: str, at: At) -> str | None:
        """Where a branch leads; None is the step behind the one that it belongs to."""
        if node is None or (isinstance(node, Items) and not node.items):
            return None
        if not isinstance(node, Scalar):
            return self.read(node, path, at.flow, at.next)
        id_ = f"{path}.0"
        target = self.flow_name(node)
        if target is not None:
            here = At(node.place, id_, at.flow, at.next)
            self.steps[id_] = Goto(**here.common, to_flow=target)
        return id_

    def flow_name(self, node: Node) -> str | None:
        """The name of a flow that there is."""
        name = self._reader.text(node, "the name of a flow")
        if name is None or name in self._flows:
            return name
        near = suggestion(name, self._flows)
        cause = f"there is no flow `{name[:60]}`{near}"
        remedy = "" if near else "Flows stand under `flows:`; a branch may also be a list of steps"
        self._problems.error("unknown-flow", node.place, cause, remedy)
        return None

    def _step(self, node: Node, id_: str, flow: str, next_: str | None) -> Step | None:
        if not isinstance(node, Table) or not node.entries:
            self._reader.wrong(node, "a step", "A step is a verb with what it needs: `- say: Hi`")
            return None
        first, *others = node.entries.values()
        for entry in others:
            cause = f"`{entry.key[:60]}` stands beside `{first.key[:60]}`: a step has one key"
            remedy = "Indent it below the verb, or put a `-` before it"
            self._problems.error("step", entry.place, cause, remedy)
        verb = self._verbs.get(first.key)
        if verb is None:
            near = suggestion(first.key, self._verbs)
            cause = f"there is no step `{first.key[:60]}`{near}"
            remedy = "" if near else f"There are: {', '.join(self._verbs)}"
            self._problems.error("unknown-step", first.place, cause, remedy)
            return None
        return verb(At(first.place, id_, flow, next_), first.value)

    def _form(self, node: Node, verb: str, *needs: str) -> Form | None:
        return self._reader.form(node, KEYS[verb], f"`{verb}`", needs)

    # What is said and asked.

    def _say(self, at: At, node: Node) -> Step | None:
        barge_in, said = None, node
        if isinstance(node, Table) and "prompt" in node.entries:
            form = self._form(node, "say", "prompt")
            said = (form.get("prompt") if form else None) or node
            barge_in = form
        elif isinstance(node, Table) and "barge_in" in node.entries:
            barge_in = Form(node, "`say`")
            rest = {key: entry for key, entry in node.entries.items() if key != "barge_in"}
            said = Table(node.place, rest)
        return Say(
            **at.common,
            prompts=self._prompts.prompts(said),
            barge_in="none" if barge_in is None else self._prompts.barge_in(barge_in, "none"),
        )

    def _ask(self, at: At, node: Node) -> Step | None:
        form = self._form(node, "ask", "into", "prompt", "answer")
        if form is None:
            return None
        input_ = self._answers.answer(form)
        return self._question(form, "ask", at, input_, ())

    def _confirm(self, at: At, node: Node) -> Step | None:
        form = self._form(node, "confirm", "prompt")
        if form is None:
            return None
        input_ = self._answers.yes_no(form)
        branches = tuple(
            Branch(value, self.branch(form.get(key), f"{at.id}.{key}", at))
            for key, value in (("yes", True), ("no", False))
        )
        return self._question(form, "confirm", at, input_, branches)

    def _choose(self, at: At, node: Node) -> Step | None:
        form = self._form(node, "choose", "prompt", "options")
        if form is None:
            return None
        input_, options = self._answers.options(form)
        branches = tuple(
            Branch(option.value, self.branch(option.then, f"{at.id}.{option.name}", at))
            for option in options
        )
        return self._question(form, "choose", at, input_, branches)

    def _question(
        self, form: Form, verb: Verb, at: At, input_: Input, branches: tuple[Branch, ...]
    ) -> Ask:
        return Ask(
            **at.common,
            verb=verb,
            into=self._reader.optional(form, "into", self._reader.variable),
            prompts=self._prompts.optional(form, "prompt"),
            input=input_,
            barge_in=self._prompts.barge_in(form, "both"),
            retries=self._retries(form, at),
            branches=branches,
            valid=self._reader.optional(form, "valid", self._reader.expression),
            by=self._answers.by(form),
        )

    def _retries(self, form: Form, at: At) -> Retries:
        node = form.get("retries")
        if node is None:
            return Retries()
        if isinstance(node, Scalar):
            most = self._reader.integer(node, "`retries`", 0, 20) or 0
            return Retries((), (), most + 1, most + 1, most + 1)
        given = self._reader.form(node, RETRIES, "`retries`")
        if given is None:
            return Retries()
        usual = Retries()
        counts = {
            key: self._count(given, key, cast(int, getattr(usual, key)))
            for key in ("max_no_input", "max_no_match", "max_total")
        }
        return Retries(
            no_input=self._escalation(given, "no_input"),
            no_match=self._escalation(given, "no_match"),
            **counts,
            then=self._given_up(given, at),
        )

    def _count(self, form: Form, key: str, usual: int) -> int:
        count = self._reader.optional(
            form, key, lambda node: self._reader.integer(node, f"`{key}`", 1, 20)
        )
        return usual if count is None else count

    def _escalation(self, form: Form, key: str) -> tuple[Prompts, ...]:
        node = form.get(key)
        return () if node is None else self._prompts.escalation(node)

    def _given_up(self, form: Form, at: At) -> str | None:
        node = form.get("then")
        if isinstance(node, Items) and not node.items:
            cause = "`then` is empty: it would be as if it were not given"
            self._problems.error("wrong-value", node.place, cause, "Give it a step, or a flow")
        return self.branch(node, f"{at.id}.retries.then", at)

    # Variables and ways.

    def _set(self, at: At, node: Node) -> Step | None:
        values = self._named(node, "variables and their values")
        return Set(**at.common, values=values)

    def _named(self, node: Node, what: str) -> tuple[tuple[str, Expression], ...]:
        """Names of variables, each with an expression."""
        found = []
        for entry in self._reader.entries(node, what):
            good = self._reader.check_variable(entry.key, entry.place)
            expression = self._reader.expression(entry.value)
            if good and expression is not None:
                found.append((entry.key, expression))
        return tuple(found)

    def _if(self, at: At, node: Node) -> Step | None:
        """One case with an ``else``, or a list of cases of which the last may be an ``else``."""
        cases, otherwise = [], None
        nodes = self._reader.items(node, "cases") if isinstance(node, Items) else (node,)
        for index, item in enumerate(nodes):
            last = index == len(nodes) - 1
            path = at.id if not isinstance(node, Items) else f"{at.id}.{index}"
            known = KEYS["if"] if last else ("when", "then")
            bare = last and index and isinstance(item, Table) and "when" not in item.entries
            needs = ("else",) if bare else ("when", "then")
            form = self._reader.form(item, ("else",) if bare else known, "`if`", needs)
            if form is None:
                continue
            when = self._reader.optional(form, "when", self._reader.expression)
            to = self.branch(form.get("then"), f"{path}.then", at)
            if when is not None:
                cases.append(Case(when, to))
            if last:
                otherwise = self.branch(form.get("else"), f"{path}.else", at)
        return Choice(**at.common, cases=tuple(cases), otherwise=otherwise)

    def _switch(self, at: At, node: Node) -> Step | None:
        form = self._form(node, "switch", "value", "cases")
        value = self._reader.optional(form, "value", self._reader.expression) if form else None
        cases_node = form.get("cases") if form else None
        if form is None or cases_node is None:
            return None
        cases = []
        for index, entry in enumerate(self._reader.entries(cases_node, "values and branches")):
            to = self.branch(entry.value, f"{at.id}.{index}", at)
            if value is not None:
                cases.append(Case(_equals(value, entry.key, entry.place), to))
        otherwise = self.branch(form.get("else"), f"{at.id}.else", at)
        return Choice(**at.common, cases=tuple(cases), otherwise=otherwise)

    def _call(self, at: At, node: Node) -> Step | None:
        if isinstance(node, Scalar):
            target, into = self.flow_name(node), None
            arguments: tuple[tuple[str, Expression], ...] = ()
        else:
            form = self._form(node, "call", "flow")
            if form is None:
                return None
            target = self._reader.optional(form, "flow", self.flow_name)
            with_ = form.get("with")
            arguments = self._named(with_, "arguments") if with_ is not None else ()
            into = self._reader.optional(form, "into", self._reader.variable)
        if target is None:
            return None
        return CallFlow(**at.common, to_flow=target, arguments=arguments, into=into)

    def _goto(self, at: At, node: Node) -> Step | None:
        target = self.flow_name(node)
        if target is None:
            return None
        return Goto(**at.common, to_flow=target)

    def _return(self, at: At, node: Node) -> Step | None:
        empty = isinstance(node, Scalar) and node.value is None
        value = None if empty else self._reader.expression(node)
        return Return(**at.common, value=value)

    # What is done with the call, and elsewhere.

    def _http(self, at: At, node: Node) -> Step | None:
        form = self._form(node, "http", "url")
        if form is None:
            return None
        url = self._reader.optional(form, "url", self._url("http://", "https://"))
        deadline = self._duration(form, "deadline", 5_000, 100, 120_000)
        body = self._reader.optional(form, "body", self._reader.expression)
        retries = self._reader.optional(
            form, "retries", lambda given: self._reader.integer(given, "`retries`", 0, 10)
        )
        method = self._reader.optional(form, "method", self._method)
        if url is None:
            return None
        return Http(
            **at.common,
            method=method or ("GET" if body is None else "POST"),
            url=url,
            headers=self._templates(form, "headers"),
            body=body,
            into=self._reader.optional(form, "into", self._reader.variable),
            deadline_ms=deadline,
            retries=retries or 0,
            filler=self._prompts.optional(form, "filler"),
            failed=self.branch(form.get("failed"), f"{at.id}.failed", at),
            has_failed_branch=form.get("failed") is not None,
        )

    def _method(self, node: Node) -> str | None:
        return self._reader.one_of(node, METHODS, "`method`")

    def _url(self, *schemes: str) -> Callable[[Node], Template | None]:
        def read(node: Node) -> Template | None:
            template = self._reader.template(node, "`url`")
            begin = template.parts[0] if template is not None and template.parts else None
            if isinstance(begin, str) and not begin.startswith(schemes):
                cause = f"`{begin[:40]}` begins with no {' or '.join(schemes)}"
                self._problems.error("wrong-value", node.place, cause)
            return template

        return read

    def _templates(self, form: Form, key: str) -> tuple[tuple[str, Template], ...]:
        node = form.get(key)
        if node is None:
            return ()
        found = (
            (entry.key, self._reader.template(entry.value, f"`{entry.key[:60]}`"))
            for entry in self._reader.entries(node, f"`{key}`", 50)
        )
        return tuple((name, value) for name, value in found if value is not None)

    def _duration(self, form: Form, key: str, usual_ms: int, least_ms: int, most_ms: int) -> int:
        found = self._reader.optional(
            form,
            key,
            lambda node: self._reader.duration_ms(node, f"`{key}`", least_ms, most_ms),
        )
        return usual_ms if found is None else found

    def _record(self, at: At, node: Node) -> Step | None:
        form = self._form(node, "record", "into")
        if form is None:
            return None
        into = self._reader.optional(form, "into", self._reader.variable)
        beep = self._reader.optional(form, "beep", lambda given: self._reader.flag(given, "`beep`"))
        keys = self._reader.optional(form, "finish_keys", self._answers.keys)
        if into is None:
            return None
        return Record(
            **at.common,
            into=into,
            prompts=self._prompts.optional(form, "prompt"),
            max_ms=self._duration(form, "longest", 60_000, 1_000, 3_600_000),
            silence_ms=self._duration(form, "end_of_speech", 3_000, 200, 60_000),
            finish_keys="#" if keys is None else keys,
            beep=True if beep is None else beep,
        )

    def _transfer(self, at: At, node: Node) -> Step | None:
        form = None
        if isinstance(node, Table) and "script" in node.entries:
            return self._hand_over(at, node)
        if isinstance(node, Table):
            form = self._form(node, "transfer", "to")
            if form is not None and "with" in node.entries:
                cause = "`with` gives variables to another script, and none is named"
                remedy = "Name it: `script: other.yaml`"
                self._problems.error("unknown-key", form.place_of("with"), cause, remedy)
            if form is None or form.get("to") is None:
                return None
            node = form.get("to") or node
        to = self._reader.template(node, "a number or a SIP URI")
        if to is None:
            return None
        return Transfer(
            **at.common,
            to=to,
            timeout_ms=self._duration(form, "timeout", 30_000, 1_000, 180_000) if form else 30_000,
            prompts=self._prompts.optional(form, "prompt") if form else (),
            failed=self.branch(form.get("failed"), f"{at.id}.failed", at) if form else None,
            has_failed_branch=form is not None and form.get("failed") is not None,
        )

    def _hand_over(self, at: At, node: Table) -> Step | None:
        form = self._form(node, "transfer", "script")
        named = form.get("script") if form else None
        if form is None or named is None:
            return None
        for key in set(KEYS["transfer"]) & set(node.entries) - {"script", "with"}:
            cause = f"`{key}` is for a transfer to somebody else, not to a script"
            self._problems.error("unknown-key", form.place_of(key), cause, "Take it out")
        path = self._reader.text(named, "the path of a script")
        with_ = form.get("with")
        arguments = self._named(with_, "arguments") if with_ is not None else ()
        if path is None:
            return None
        if path.startswith("/") or not inside(self._source.path(path)):
            cause = f"the script `{path[:60]}` lies outside of the first script's folder"
            self._problems.error("missing-file", named.place, cause, "Move it into it")
            return None
        return HandOver(**at.common, script=self._source.target(path), arguments=arguments)

    def _send_digits(self, at: At, node: Node) -> Step | None:
        digits = self._reader.template(node, "digits")
        constant = None if digits is None else digits.constant
        if constant is not None and not set(constant) <= set("0123456789*#ABCD,"):
            cause = f"`{constant[:60]}` has something else than 0-9 * # A-D and `,` for a pause"
            self._problems.error("wrong-value", node.place, cause)
        if digits is None:
            return None
        return SendDigits(**at.common, digits=digits)

    def _stream(self, at: At, node: Node) -> Step | None:
        form = self._form(node, "stream", "url")
        schemes = self._url("ws://", "wss://", "audiosocket+tcp://")
        url = self._reader.optional(form, "url", schemes) if form else None
        if form is None or url is None:
            return None
        return Stream(
            **at.common,
            url=url,
            parameters=self._templates(form, "parameters"),
            into=self._reader.optional(form, "into", self._reader.variable),
            max_ms=self._duration(form, "longest", 600_000, 1_000, 14_400_000),
            failed=self.branch(form.get("failed"), f"{at.id}.failed", at),
            has_failed_branch=form.get("failed") is not None,
        )

    def _hang_up(self, at: At, node: Node) -> Step | None:
        cause: str | None = "done"
        prompts: Prompts = ()
        if isinstance(node, Table):
            form = self._form(node, "hang_up")
            if form is None:
                return None
            cause = self._reader.optional(form, "cause", self._cause) or "done"
            prompts = self._prompts.optional(form, "say")
        elif not isinstance(node, Scalar) or node.value is not None:
            cause = self._cause(node)
        return HangUp(**at.common, cause=cause or "done", prompts=prompts)

    def _cause(self, node: Node) -> str | None:
        text = self._reader.text(node, "a cause", 60)
        if text is None or text.replace("-", "").replace("_", "").isalnum():
            return text
        cause = f"`{text}` is no cause"
        remedy = "A cause is one word for the report, such as `done` or `no-consent`"
        self._problems.error("wrong-value", node.place, cause, remedy)
        return None


def _equals(value: Expression, key: str, place: Place) -> Expression:
    """The condition of a case of ``switch``: its value, written as text, is the key."""
    return Expression.parse(f"str({value.source}) == {key!r}", place)
