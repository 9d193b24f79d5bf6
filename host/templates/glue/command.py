"""Between WASI and main.py: made by `aos-host build`."""

import sys

import main
from componentize_py_types import Err
from wit_world import exports

import aos_sources  # noqa: E402, F401  after all that it keeps


class Run(exports.Run):
    def run(self):
        code = main.main()
        sys.stdout.flush()
        sys.stderr.flush()
        if code:
            raise Err(None)
