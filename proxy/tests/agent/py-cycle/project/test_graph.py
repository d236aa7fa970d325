import unittest

from graph import order


class OrderTest(unittest.TestCase):
    def test_needs_come_first(self):
        needs = {"app": ["db", "log"], "db": ["log"], "log": []}
        self.assertEqual(order(needs), ["log", "db", "app"])

    def test_a_circle_is_an_error(self):
        with self.assertRaises(ValueError):
            order({"a": ["b"], "b": ["a"]})
