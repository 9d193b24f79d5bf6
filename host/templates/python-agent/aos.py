"""An agent's processor, tools and memory as plain calls.

    context.append("task", task)
    reply = model.step()
    result = toolbox.call("calculator__calculate", expression="1+1")
    found = context.recall("the invoice of March", max_tokens=500)

This file knows nothing of WebAssembly: `aos-host build` gives it the host, and a test gives it a
`Script`. What an agent computes has to follow from these calls: after a crash it runs again, and
gets the same answers.
"""

import json
from dataclasses import dataclass, field

host = None
"""What answers: set by the build, or by a test."""


class ToolError(Exception):
    """A tool could not do it, or was denied: `kind` says which."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class ModelError(Exception):
    """The model could not be asked; waiting does not help, or the host would have waited."""


@dataclass
class Call:
    """A tool that the model wants called."""

    id: str
    name: str
    arguments: dict


@dataclass
class Reply:
    """A turn of the model; it is in the context already."""

    text: str
    calls: list = field(default_factory=list)
    stop: str = "end-turn"


@dataclass
class Result:
    """What a tool answered."""

    text: str
    value: object = None


class model:
    """The processor."""

    @staticmethod
    def step(*, model=None, max_output_tokens=None, tools=None) -> Reply:
        """One turn over the context; `tools` are the names to offer, all of them unless said."""
        return host.step(model, max_output_tokens, tools)


class toolbox:
    """The tools that the agent holds."""

    @staticmethod
    def names() -> list:
        """As models see them: plugin__tool."""
        return host.tools()

    @staticmethod
    def call(name, /, **arguments) -> Result:
        """Calls a tool. Raises ToolError."""
        return host.call(None, name, arguments)

    @staticmethod
    def answer(calls) -> None:
        """Does the calls of a turn, and puts what they gave, or why not, into the context."""
        for call in calls:
            try:
                host.result(call, host.call(call.id, call.name, call.arguments), None)
            except ToolError as error:
                host.result(call, None, error)


class context:
    """The memory. What does not fit the model's window leaves it, and is still here."""

    @staticmethod
    def append(kind, text, *, importance=0.5, label=None) -> int:
        """Adds a page: system, task, user, assistant or note. Returns its number."""
        return host.append(kind, text, importance, label)

    @staticmethod
    def recall(query, max_tokens=1000) -> list:
        """The texts of the pages that matter most to the query, best first."""
        return host.recall(query, max_tokens)

    @staticmethod
    def pin(page, pinned=True) -> None:
        """A pinned page stays in the window."""
        host.pin(page, pinned)


class Script:
    """A host for tests: a model that says these turns, and tools that are functions."""

    def __init__(self, turns, tools=None):
        self.turns, self.functions, self.pages = list(turns), tools or {}, []

    def step(self, model, max_output_tokens, tools):
        reply = self.turns.pop(0)
        return Reply(reply) if isinstance(reply, str) else reply

    def tools(self):
        return list(self.functions)

    def call(self, call_id, name, arguments):
        if name not in self.functions:
            raise ToolError("unknown-tool", f"there is no tool {name}")
        value = self.functions[name](**arguments)
        return Result(value if isinstance(value, str) else json.dumps(value), value)

    def result(self, call, result, error):
        self.pages.append(("tool-result", result.text if result else str(error)))

    def append(self, kind, text, importance, label):
        self.pages.append((kind, text))
        return len(self.pages)

    def recall(self, query, max_tokens):
        return [text for _, text in self.pages if query in text]

    def pin(self, page, pinned):
        pass
