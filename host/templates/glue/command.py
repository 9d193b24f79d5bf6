"""Between WASI and main.py: made by `aos-host build`."""

import sys

import main
from componentize_py_types import Err
from wit_world import exports


class Run(exports.Run):
    def run(self):
        code = main.main()
        sys.stdout.flush()
        sys.stderr.flush()
        if code:
            raise Err(None)
