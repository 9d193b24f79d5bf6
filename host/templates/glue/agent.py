"""Between the contract and aos.py: made by `aos-host build`."""

import json
import sys
import traceback

import aos
from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports import aos_agent_types as agent_types
from wit_world.imports import aos_tool_types as tool_types
from wit_world.imports import context, model, toolbox


def words(error):
    """A variant's case and its payload as (kind, sentence)."""
    kind = type(error).__name__.partition("_")[2]
    kind = "".join("-" + c.lower() if c.isupper() else c for c in kind).lstrip("-")
    value = getattr(error, "value", kind)
    if isinstance(value, tuple):
        kind, value = value
    return kind, value if isinstance(value, str) else getattr(value, "remedy", str(value))


def text_of(parts):
    return "".join(
        part.value.value
        for part in parts
        if isinstance(part, agent_types.Part_Content)
        and isinstance(part.value, tool_types.Content_Text)
    )


def page_of(text):
    return [agent_types.Part_Content(tool_types.Content_Text(text))]


class Host:
    def step(self, name, max_output_tokens, tools):
        options = model.Options(
            model=name, max_output_tokens=max_output_tokens, reasoning_tokens_max=None,
            temperature=None, tools=tools, own_tools=[], tool_choice=model.ToolChoice_Auto(),
            parallel_tool_calls=None, response_schema=None, stop_sequences=[], timeout_ms=None,
            extra=[],
        )
        try:
            completion = model.step(options)
        except Err as error:
            raise aos.ModelError(": ".join(words(error.value))) from None
        stop, _ = words(completion.stop)
        calls = [
            aos.Call(part.value.id, part.value.name, json.loads(part.value.arguments or "{}"))
            for part in completion.parts
            if isinstance(part, agent_types.Part_ToolCall)
        ]
        return aos.Reply(text_of(completion.parts), calls, stop)

    def tools(self):
        return [tool.name for tool in toolbox.definitions()]

    def call(self, call_id, name, arguments):
        invocation = toolbox.Invocation(call_id, name, json.dumps(arguments), None)
        try:
            output = toolbox.call(invocation)
        except Err as error:
            raised = aos.ToolError(*words(error.value))
            raised.wit = error.value
            raise raised from None
        text = "\n".join(
            one.value for one in output.content if isinstance(one, tool_types.Content_Text)
        )
        result = aos.Result(text, json.loads(output.structured) if output.structured else None)
        result.wit = output
        return result

    def result(self, call, result, error):
        if error is None:
            outcome = Ok(result.wit)
        else:
            wit = getattr(error, "wit", None) or tool_types.Error_Failed(str(error))
            outcome = Err(wit)
        part = agent_types.Part_ToolResult(agent_types.ToolResult(call.id, outcome))
        self._append(context.PageKind.TOOL_RESULT, [part], 0.5, None)

    def append(self, kind, text, importance, label):
        return self._append(context.PageKind[kind.upper()], page_of(text), importance, label)

    def _append(self, kind, parts, importance, label):
        try:
            return context.append(kind, parts, importance, label)
        except Err as error:
            raise RuntimeError(": ".join(words(error.value))) from None

    def recall(self, query, max_tokens):
        try:
            return [text for _, text in context.recall(query, max_tokens)]
        except Err as error:
            raise RuntimeError(": ".join(words(error.value))) from None

    def pin(self, page, pinned):
        context.pin(page, pinned)


aos.host = Host()

import agent  # noqa: E402  it may use the host as it is imported


class Program(exports.Program):
    def run(self, task):
        try:
            return str(agent.run(task))
        except MemoryError:
            raise
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            raise Err(f"{type(error).__name__}: {error}") from error
