"""Runs Python in this plugin's own CPython, where only what the operator granted can be reached."""

import ast
import builtins
import io
import linecache
import math
import random
import sys
import traceback
import types
from dataclasses import dataclass, field
from typing import Any

import library  # noqa: F401  what code may import has to be in the snapshot
from aos import Answer, tool

# What is kept of each of stdout, stderr, a traceback and a value's own text; more is counted.
BYTES_MAX = 256 * 1024
# A value nested deeper is told as text: JSON readers stop at some depth, the host's at 128.
DEPTH_MAX = 64
NAME = "<code>"


@dataclass
class Raised:
    type: str
    message: str
    traceback: str


@dataclass
class Ran:
    stdout: str
    stderr: str
    # Of the last line, where that is an expression and JSON can say it; else null.
    value: Any = None
    # The same by repr(), where JSON cannot say it.
    value_text: str | None = None
    exception: Raised | None = field(default=None)


@tool(title="Run Python")
def execute(code: str, stdin: str = "") -> Answer[Ran]:
    """Runs Python 3 with its standard library and returns what it printed, the value of its last line where that is an expression, and the exception that ended it, with its traceback.

    Every call begins anew: no variable, import or file of its own is left from the call before. Files are those that the operator granted, by their own paths. There is no network, no process and no thread.

    code: the program, of one line or of many
    stdin: what it reads from standard input
    """
    # The snapshot holds one state for all; the host's numbers are this call's own.
    random.seed()
    stdout, stderr = Captured(), Captured()
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode("utf-8", "replace")), encoding="utf-8")
    sys.stdout, sys.stderr = stdout.text, stderr.text
    value = exception = None
    try:
        value = run(code)
    except SystemExit as end:
        # Who leaves with nothing, or with 0, has not failed.
        exception = told(end) if end.code else None
    # Whatever it is, it is the code's own, and the caller reads it.
    except BaseException as error:
        exception = told(error)
    finally:
        sys.stdin, sys.stdout, sys.stderr = before
    ran = Ran(stdout.read(), stderr.read(), exception=exception)
    if value is not None:
        try:
            ran.value = plain(value)
        except Exception:
            ran.value_text = shown(value)
    return Answer(words(ran), ran)


def run(code):
    """Executes the code as a module of its own, and returns its last expression."""
    linecache.cache[NAME] = (len(code), None, code.splitlines(keepends=True), NAME)
    main = types.ModuleType("__main__")
    main.__builtins__ = builtins
    sys.modules["__main__"] = main
    tree = ast.parse(code, NAME)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, NAME, "exec"), main.__dict__)
    if last is not None:
        return eval(compile(ast.Expression(last.value), NAME, "eval"), main.__dict__)


class Captured(io.BytesIO):
    """A stream that keeps its beginning, and counts the rest."""

    def __init__(self):
        super().__init__()
        self.left_out = 0
        self.text = io.TextIOWrapper(
            self, encoding="utf-8", errors="backslashreplace", write_through=True
        )

    def write(self, data):
        room = max(0, BYTES_MAX - self.tell())
        self.left_out += max(0, len(data) - room)
        super().write(bytes(data)[:room])
        return len(data)

    def read(self, *_):
        text = self.getvalue().decode("utf-8", "replace")
        return text if not self.left_out else f"{text}\n[{self.left_out} bytes more]\n"

    def close(self):
        # Code that closes its stdout has still said what it said.
        pass


def told(error):
    """An exception, with the frames of the code alone."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename != NAME:
        frame = frame.tb_next
    try:
        lines = traceback.format_exception(type(error), error, frame)
    except Exception:
        lines = [f"{type(error).__name__}\n"]
    try:
        message = str(error)
    except Exception:
        message = "its message cannot be shown"
    return Raised(type(error).__name__, cut(message), cut("".join(lines)))


def plain(value, depth=0):
    """The value as JSON has it.

    Raises TypeError or ValueError where JSON has no such value.
    """
    if depth > DEPTH_MAX:
        raise ValueError("too deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise ValueError("no reader of JSON holds it")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("JSON has no such number")
        return float(value)
    if isinstance(value, str):
        if len(value) > BYTES_MAX:
            raise ValueError("too long")
        return clean(str(value))
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("the keys of an object are text")
        return {clean(key): plain(item, depth + 1) for key, item in value.items()}
    raise TypeError(f"{type(value)} has no JSON")


def shown(value):
    """The value by repr()."""
    try:
        return cut(repr(value))
    except Exception as error:
        return f"<{type(value).__name__}, whose repr() raises {type(error).__name__}>"


def clean(text):
    """Half of a surrogate pair is a character of Python, and of no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def cut(text):
    text = clean(text)
    return text if len(text) <= BYTES_MAX else f"{text[:BYTES_MAX]}[{len(text) - BYTES_MAX} more]"


def words(ran):
    """What a reader is shown: what was printed, then the value or the traceback."""
    parts = [ran.stdout, ran.stderr]
    if ran.exception is not None:
        parts.append(ran.exception.traceback)
    elif ran.value_text is not None:
        parts.append(ran.value_text)
    elif ran.value is not None:
        parts.append(shown(ran.value))
    return "\n".join(part.removesuffix("\n") for part in parts if part)
