import unittest

from leap import is_leap


class LeapTest(unittest.TestCase):
    def test_centuries(self):
        years = [1900, 2000, 2023, 2024, 2100, 2400]
        self.assertEqual([year for year in years if is_leap(year)], [2000, 2024, 2400])
