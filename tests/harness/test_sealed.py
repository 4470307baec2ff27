"""The harness must be right before it judges anything."""
import unittest

import sealed
from toolbox import RESTIC_OLD, TestCase


class Sealed(unittest.TestCase):
    def test_aes_gives_the_standard_vectors(self):
        # FIPS 197, appendix C.1 and C.3.
        plain = bytes.fromhex("00112233445566778899aabbccddeeff")
        self.assertEqual(sealed.aes_block(bytes(range(16)), plain).hex(),
                         "69c4e0d86a7b0430d8cdb78070b4c55a")
        self.assertEqual(sealed.aes_block(bytes(range(32)), plain).hex(),
                         "8ea2b7ca516745bfeafc49904b496089")

    def test_a_changed_byte_is_noticed(self):
        key = sealed.Key.random()
        box = bytearray(key.seal(b"attack at dawn"))
        self.assertEqual(key.open(bytes(box)), b"attack at dawn")
        box[20] ^= 1
        with self.assertRaises(ValueError):
            key.open(bytes(box))


class MadeRepositories(TestCase):
    def test_restic_accepts_what_we_make(self):
        restic = self.peer(RESTIC_OLD)
        for version in (1, 2):
            repository = self.new_repository(version)
            self.assertEqual(restic(repository, "cat", "config").json()["version"], version)
            self.make_tree("t", {"a": b"one"})
            restic(repository, "backup", "--quiet", self.path("t"))
            restic(repository, "check", "--read-data")
