import tomllib
import unittest
from pathlib import Path

import aos
import tools  # noqa: F401  registers them


class Tools(unittest.TestCase):
    def test_the_examples_of_the_manifest_hold(self):
        manifest = tomllib.loads(Path(__file__).with_name("plugin.toml").read_text())
        for example in manifest["examples"]:
            text, value = aos.call(example["tool"], example["input"])
            self.assertEqual(value, example.get("structured", value))
            self.assertEqual(text, example.get("text", text))

    def test_long_words_can_be_left_out(self):
        _, value = aos.call("count_words", {"text": "a bb ccc", "letters_max": 2})
        self.assertEqual(value, {"words": 2, "distinct": 2})

    def test_a_limit_of_nothing_is_an_invalid_argument(self):
        with self.assertRaises(aos.InvalidArguments):
            aos.call("count_words", {"text": "a", "letters_max": 0})

    def test_the_schema_comes_from_the_hints(self):
        [definition] = aos.definitions()
        schema = definition["input_schema"]
        self.assertEqual(schema["properties"]["text"]["type"], "string")
        self.assertEqual(schema["required"], ["text"])


if __name__ == "__main__":
    unittest.main()
