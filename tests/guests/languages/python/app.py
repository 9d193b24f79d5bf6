"""A component in Python: nothing in it knows this host."""

# Looked up by name when a socket connects; what is imported here is part of the component.
import encodings.idna  # noqa: F401
import re
import socket

from componentize_py_types import Err
from wit_world import exports


class Text(exports.Text):
    def slug(self, text: str) -> str:
        return "-".join(re.findall(r"\w+", text.lower()))

    def reach(self, what: str) -> str:
        try:
            if what.startswith("/"):
                with open(what, encoding="utf-8") as file:
                    return file.read()
            host, port = what.rsplit(":", 1)
            with socket.create_connection((host, int(port))) as connection:
                return connection.recv(64).decode()
        except OSError as error:
            raise Err(f"{type(error).__name__}: {error}") from error
