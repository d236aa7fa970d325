import unittest

from basket import Basket


class BasketTest(unittest.TestCase):
    def test_baskets_are_apart(self):
        one, other = Basket(), Basket()
        one.add("apple")
        self.assertEqual(other.items, [])
