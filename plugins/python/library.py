"""The part of the standard library that code may import. A component has no files of its own: what
is imported while it is built is in its snapshot, and costs a call nothing; nothing else is there.
"""

import importlib
import sys

MODULES = """
    abc argparse array ast asyncio base64 binascii bisect builtins calendar cmath codecs collections
    collections.abc colorsys concurrent.futures configparser contextlib contextvars copy copyreg csv
    dataclasses datetime decimal difflib dis doctest email email.message email.parser email.policy
    encodings.ascii encodings.cp1252 encodings.idna encodings.latin_1 encodings.punycode
    encodings.utf_16 encodings.utf_16_be encodings.utf_16_le encodings.utf_32 encodings.utf_8_sig
    enum errno filecmp fileinput fnmatch fractions functools gc getopt getpass gettext glob graphlib
    gzip hashlib heapq hmac html html.entities html.parser http importlib inspect io ipaddress
    itertools json json.decoder json.encoder keyword linecache locale logging marshal math mimetypes
    numbers operator os os.path pathlib pickle pickletools pkgutil platform pprint queue quopri
    random re reprlib sched secrets select selectors shlex shutil signal socket stat statistics
    string stringprep struct symtable sys tarfile tempfile textwrap threading time timeit token
    tokenize tomllib traceback types typing unicodedata unittest unittest.mock urllib.parse uuid
    warnings weakref xml.dom.minidom xml.etree.ElementTree xml.sax xml.sax.saxutils zipfile zlib
    _pydatetime _pydecimal _strptime
""".split()

# What this build of CPython does not have.
MISSING = []

for _name in MODULES:
    try:
        importlib.import_module(_name)
    except ImportError as error:
        MISSING.append(f"{_name}: {error}")

if sys.platform == "wasi":
    # An event loop wakes itself from threads and signals by a pair of sockets. There are neither
    # threads nor signals here, and sockets are denied.
    from asyncio.selector_events import BaseSelectorEventLoop as _Loop

    _Loop._make_self_pipe = lambda self: None
    _Loop._close_self_pipe = lambda self: None
    _Loop._write_to_self = lambda self: None
