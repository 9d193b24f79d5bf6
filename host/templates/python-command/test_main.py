import unittest

import main


class Main(unittest.TestCase):
    def test_names_are_joined(self):
        self.assertEqual(main.greeting(["Ada", "Alan"]), "Hello, Ada and Alan!")


if __name__ == "__main__":
    unittest.main()
