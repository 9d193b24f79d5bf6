import unittest

import agent
import aos
from aos import Call, Reply, Script


class Agent(unittest.TestCase):
    def test_it_uses_a_tool_before_it_answers(self):
        turns = [Reply("", [Call("1", "weather__today", {"city": "Oslo"})]), "Take an umbrella."]
        aos.host = Script(turns, {"weather__today": lambda city: f"rain in {city}"})
        self.assertEqual(agent.run("Do I need an umbrella in Oslo?"), "Take an umbrella.")
        self.assertIn(("tool-result", "rain in Oslo"), aos.host.pages)

    def test_a_tool_that_is_not_there_is_told_to_the_model(self):
        aos.host = Script([Reply("", [Call("1", "no__tool", {})]), "I cannot."])
        self.assertEqual(agent.run("Try."), "I cannot.")
        self.assertIn(("tool-result", "there is no tool no__tool"), aos.host.pages)


if __name__ == "__main__":
    unittest.main()
