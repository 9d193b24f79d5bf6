import os
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).parent
# The library of tools in Python is the one that each new project gets.
sys.path.append(str(HERE.parent.parent / "host" / "templates" / "python-tool"))

import tomllib

import aos
import tools


def execute(code, **more):
    text, value = aos.call("execute", {"code": code, **more})
    return text, value


class Execute(unittest.TestCase):
    def test_the_examples_of_the_manifest_hold(self):
        manifest = tomllib.loads(HERE.joinpath("plugin.toml").read_text())
        for example in manifest["examples"]:
            text, value = aos.call(example["tool"], example["input"])
            self.assertEqual(text, example.get("text", text))
            self.assertEqual(value, example.get("structured", value))

    def test_what_is_printed_and_the_last_value_come_back_apart(self):
        text, value = execute("import sys\nprint('a')\nprint('b', file=sys.stderr)\n[1, (2, None)]")
        self.assertEqual((value["stdout"], value["stderr"]), ("a\n", "b\n"))
        self.assertEqual(value["value"], [1, [2, None]])
        self.assertIsNone(value["exception"])
        self.assertEqual(text, "a\nb\n[1, [2, None]]")

    def test_an_exception_has_the_codes_own_frames_and_lines(self):
        _, value = execute("def f():\n    return 1 / 0\nprint('before')\nf()")
        self.assertEqual(value["stdout"], "before\n")
        self.assertEqual(value["exception"]["type"], "ZeroDivisionError")
        trace = value["exception"]["traceback"]
        self.assertIn('File "<code>", line 4, in <module>\n    f()', trace)
        self.assertIn("return 1 / 0", trace)
        self.assertNotIn("tools.py", trace)

    def test_code_that_is_no_python_is_told_with_its_line(self):
        _, value = execute("x = 1\nx = = 2")
        self.assertEqual(value["exception"]["type"], "SyntaxError")
        self.assertIn("line 2", value["exception"]["traceback"])

    def test_no_value_breaks_the_answer(self):
        for code, text in [
            ("float('nan')", "nan"),
            ("10 ** 30", "1" + "0" * 30),
            ("{1: 2}", "{1: 2}"),
            ("{1, 1}", "{1}"),
            ("x = []\nx.append(x)\nx", "[[...]]"),
        ]:
            _, value = execute(code)
            self.assertEqual((value["value"], value["value_text"]), (None, text), code)
        class_text = "class A:\n    def __repr__(self):\n        raise OSError\nA()"
        self.assertIn("raises OSError", execute(class_text)[1]["value_text"])
        self.assertEqual(execute("'\\ud800'")[1]["value"], "\\ud800")

    def test_the_code_may_leave_and_close_and_raise_what_it_likes(self):
        self.assertIsNone(execute("import sys\nsys.exit()")[1]["exception"])
        self.assertEqual(execute("raise SystemExit(3)")[1]["exception"]["message"], "3")
        self.assertEqual(execute("raise KeyboardInterrupt")[1]["exception"]["message"], "")
        closed = execute("import sys\nprint('said')\nsys.stdout.close()")[1]
        self.assertEqual((closed["stdout"], closed["exception"]), ("said\n", None))
        hostile = "class E(Exception):\n    def __str__(self):\n        raise E\nraise E"
        self.assertEqual(execute(hostile)[1]["exception"]["type"], "E")

    def test_long_output_keeps_its_beginning(self):
        _, value = execute(f"print('x' * {tools.BYTES_MAX + 9})")
        self.assertTrue(value["stdout"].startswith("xxx"))
        self.assertTrue(value["stdout"].endswith("[10 bytes more]\n"))

    def test_stdin_is_read_and_ends(self):
        self.assertEqual(execute("input() + input()", stdin="a\nb\n")[1]["value"], "ab")
        self.assertEqual(execute("input()")[1]["exception"]["type"], "EOFError")

    def test_nothing_is_left_over(self):
        execute("left = 1")
        self.assertEqual(execute("left")[1]["exception"]["type"], "NameError")
        self.assertNotEqual(*[execute("import random\nrandom.random()")[1]["value"] for _ in "ab"])

    def test_classes_of_the_code_can_be_found_by_name(self):
        code = "from dataclasses import dataclass\nimport pickle\n@dataclass\nclass P:\n    x: int\n"
        self.assertEqual(execute(code + "pickle.loads(pickle.dumps(P(3))).x")[1]["value"], 3)

    def test_files_are_pythons_own(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "f")
            code = f"open({path!r}, 'w').write('x')\nopen({path!r}).read()"
            self.assertEqual(execute(code)[1]["value"], "x")


if __name__ == "__main__":
    unittest.main()
