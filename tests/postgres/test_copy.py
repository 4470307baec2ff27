"""Copies take the log along (P3, S5): from the second repository alone any moment comes back."""
import shutil
import time

import postgres
from test_restore import _RestoreCase
from toolbox import PASSWORD


class Copies(_RestoreCase):
    def setUp(self):
        super().setUp()
        self.second = self.place.path / "second"
        self.salvor(self.second, "init")
        self.cluster = self.archiving_cluster()
        self.cluster.sql("CREATE TABLE steps (n int primary key)")
        self.times = {}

    def step(self, n):
        self.cluster.sql(f"INSERT INTO steps VALUES ({n})")
        time.sleep(0.05)
        self.times[n] = self.cluster.sql("SELECT clock_timestamp() AT TIME ZONE 'UTC'") + "Z"
        time.sleep(0.05)
        self.archive_all(self.cluster)

    def copy(self, *arguments, expect=0):
        return self.salvor(self.second, "copy", "--json", "--from-repo", str(self.repository), *arguments,
                           env={"RESTIC_FROM_PASSWORD": PASSWORD}, expect=expect)

    def copied(self, *arguments):
        return self.copy(*arguments).message("summary")["copied_log_files"]

    def log_in(self, repository):
        return {p.name for p in (repository / "salvor/journal").rglob("*") if p.is_file()}

    def reaches(self, n, *arguments):
        target = self.place.path / f"reached{n}"
        # The original lives on: what is only looked at must not archive into its repository.
        self.salvor(self.second, "postgres", "restore", "--copy", "--target", target, *arguments, timeout=110)
        cluster = postgres.Cluster(self, target)
        cluster.start(archive_mode="off")
        self.assertEqual(cluster.sql("SELECT string_agg(n::text, ',' ORDER BY n) FROM steps"),
                         ",".join(str(i) for i in range(1, n + 1)))
        cluster.stop()

    def test_any_moment_can_be_reached_from_the_copy_alone(self):
        self.back_up(self.cluster)
        for n in (1, 2):
            self.step(n)
        newest = self.back_up(self.cluster)
        self.step(3)
        # The newest backup needs nothing of what was logged before it began.
        self.assertGreater(self.copied(newest), 0)
        self.assertLess(self.log_in(self.second), self.log_in(self.repository))
        self.reaches(3)
        # The older one brings the rest, and nothing comes twice.
        self.assertGreater(self.copied(), 0)
        copied = self.log_in(self.second)
        self.assertEqual(copied, {name for name in self.log_in(self.repository) if name >= min(copied)})
        self.assertEqual(self.copied(), 0)
        self.step(4)
        self.assertGreater(self.copied(), 0)
        shutil.rmtree(self.repository)
        self.reaches(2, "--to-time", self.times[2])
        self.reaches(4)

    def test_a_damaged_segment_is_named_and_the_others_are_copied(self):
        self.back_up(self.cluster)
        for n in (1, 2, 3):
            self.step(n)
        names = sorted(self.journal())
        victim = self.journal()[[n for n in names if len(n) == 24][-2]]
        sound = self.flip_bit(victim, -1)
        refused = self.copy(expect=None)
        self.assertNotEqual(refused.code, 0)
        self.assertIn(victim.name, refused.errors)
        copied = self.log_in(self.second)
        self.assertEqual(copied, {name for name in names if name >= min(copied)} - {victim.name})
        # The hole refuses what lies behind it.
        behind = self.salvor(self.second, "postgres", "restore", "--target", self.place.path / "behind", expect=1)
        self.assertIn("hole", behind.errors)
        victim.write_bytes(sound)
        self.assertEqual(self.copied(), 1)
        self.reaches(3)
