"""Compiles global handlers: what happens, or is said at any question, and where that leads."""

from __future__ import annotations

from .answers import AnswerReader, Words
from .forms import Reader
from .model import Flow, Handler
from .source import Entry, Node, Scalar, Table
from .stepping import At, StepReader

EVENTS = ("silence", "no_match", "hang_up", "error")
"""Handlers of what happens; all others are of what is said or typed."""
HANDLER = ("key", "phrases", "then")
REPEAT = "repeat"


class HandlerReader:
    """Reads handlers; their own flows go into ``flows``, and ``words`` has what opens each.
    ``prefix`` is what the ids of the script's steps begin with."""

    def __init__(
        self,
        reader: Reader,
        answers: AnswerReader,
        steps: StepReader,
        flows: dict[str, Flow],
        prefix: str,
    ) -> None:
        self.words: dict[str, Words] = {}
        self._reader = reader
        self._answers = answers
        self._steps = steps
        self._flows = flows
        self._prefix = prefix

    def read(self, node: Node | None) -> dict[str, Handler]:
        """The handlers by their names."""
        entries = () if node is None else self._reader.entries(node, "handlers", 50)
        found = (
            self._event(entry) if entry.key in EVENTS else self._said(entry)
            for entry in entries
            if self._reader.check_name(entry.key, entry.place, "the name of a handler")
        )
        return {handler.name: handler for handler in found if handler is not None}

    def _event(self, entry: Entry) -> Handler | None:
        if isinstance(entry.value, Table):
            wanted = "a list of steps or the name of a flow"
            self._reader.wrong(entry.value, wanted, f"`{entry.key}` is nothing that is said")
            return None
        return Handler(entry.key, entry.place, self._flow(entry, entry.value))

    def _said(self, entry: Entry) -> Handler | None:
        """A handler that is entered by what is said or typed; ``repeat`` leads nowhere."""
        repeats = entry.key == REPEAT
        known, needs = (HANDLER[:-1], ()) if repeats else (HANDLER, ("then",))
        form = self._reader.form(entry.value, known, f"the handler `{entry.key}`", needs)
        if form is None:
            return None
        input_, words = self._answers.handler(entry.key, form)
        self.words[entry.key] = words
        if input_ is None:
            cause = f"nothing opens the handler `{entry.key}`"
            remedy = "Give `phrases`, or a `key`"
            self._reader.problems.error("missing-key", entry.place, cause, remedy)
        then = form.get("then")
        flow = None if then is None else self._flow(entry, then)
        return Handler(entry.key, entry.place, flow, input_)

    def _flow(self, entry: Entry, node: Node) -> str | None:
        """The flow of a handler: one of the script's, or the handler's own."""
        if isinstance(node, Scalar) and node.value is not None:
            return self._steps.flow_name(node)
        own = f"on.{entry.key}"
        path = self._prefix + own
        first = self._steps.branch(node, path, At(entry.place, path, own, None))
        if first is None:
            cause = f"the handler `{entry.key}` has no steps"
            remedy = "Give it some, or take it out"
            self._reader.problems.error("empty-flow", entry.place, cause, remedy)
            return None
        self._flows[own] = Flow(own, entry.place, first)
        return own
