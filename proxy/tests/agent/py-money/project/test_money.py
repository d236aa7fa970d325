import unittest

from money import split


class SplitTest(unittest.TestCase):
    def test_no_cent_is_lost(self):
        self.assertEqual(split(100, 3), [34, 33, 33])
        self.assertEqual(split(5, 2), [3, 2])
        self.assertEqual(split(0, 2), [0, 0])
