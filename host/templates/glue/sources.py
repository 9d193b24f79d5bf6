"""Keeps the sources for tracebacks: made by `aos-host build`.

They are there while the plugin is built, and not when it runs: a traceback that looked for them then
would reach for files that nobody granted.
"""

import linecache
import sys

for _module in list(sys.modules.values()):
    _file = getattr(_module, "__file__", None)
    # The standard library's own are many, and no author's.
    if _file and _file.endswith(".py") and not _file.startswith("/python/"):
        _lines = linecache.getlines(_file)
        # Without a time of change it is not looked for again.
        linecache.cache[_file] = (sum(map(len, _lines)), None, _lines, _file)

linecache.updatecache = lambda *_: []
