"""WAL in the repository (P3): archive_command, restore_command, and what must never happen to either."""
import json
import os
import pathlib
import shlex
import subprocess
import time

import postgres
from toolbox import PASSWORD, TestCase


class _WalCase(TestCase):
    def setUp(self):
        super().setUp()
        self.place = postgres.Place(self)
        self.repository = self.place.path / "repository"
        self.password = self.place.path / "password"
        self.password.write_text(PASSWORD)
        self.salvor(self.repository, "init")
        self.notes = self.place.path / "notes"
        self.own()

    def own(self):
        self.place.own(self.repository)
        self.place.own(self.password)

    def command(self, *words, repository=None):
        """A command line for archive_command or restore_command; % signs stay."""
        line = [self.salvor.binary, "-r", repository or self.repository, "--password-file", self.password, *words]
        return " ".join(w if str(w).startswith("%") else shlex.quote(str(w)) for w in line)

    def archiving_cluster(self, name="cluster", **settings):
        return postgres.Cluster.make(
            self, self.place, name=name, archive_mode="on",
            archive_command=self.command("wal", "push", "--notes", self.notes, "%p"), **settings)

    def run_as_server(self, cluster, *words, expect=0):
        """salvor, run as the server would run it."""
        line = postgres.as_user([self.salvor.binary, "-r", self.repository, "--password-file", self.password, *words])
        done = subprocess.run(line, cwd=cluster.data, capture_output=True, check=False, timeout=60,
                              env={"PATH": os.environ["PATH"]}, stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, expect, done.stderr.decode())
        return done.stderr.decode()

    def archive_all(self, cluster):
        """Switches the segment and waits until the server says that it is archived."""
        name = cluster.sql("SELECT pg_walfile_name(pg_switch_wal())")
        limit = time.monotonic() + 60
        while cluster.sql(f"SELECT coalesce(last_archived_wal >= '{name}', false) FROM pg_stat_archiver") != "t":
            self.assertLess(time.monotonic(), limit, cluster.log_tail())
            time.sleep(0.05)
        return name

    def journal(self):
        folder = self.repository / "salvor" / "journal"
        return {p.name: p for p in folder.rglob("*") if p.is_file()}

    def verify(self, expect=0, *arguments):
        return json.loads(self.salvor(self.repository, "wal", "verify", "--json", *arguments, expect=expect).out)

    def back_up(self, cluster):
        summary = self.salvor(self.repository, "postgres", "backup", "--json", "-d", cluster.url).message("summary")
        self.own()
        return summary["snapshot_id"]

    def restored(self, snapshot="latest", name="restored", **settings):
        """A plain restore that recovers by restore_command when it is started."""
        target = self.place.path / name
        target.mkdir(mode=0o700)
        self.salvor.restore(self.repository, target, snapshot)
        (target / "recovery.signal").touch()
        cluster = postgres.Cluster(self, target)
        cluster.configure(archive_mode="off", restore_command=self.command("wal", "fetch", "%f", "%p"), **settings)
        self.place.own(target)
        return cluster

    def start_and_promote(self, cluster):
        cluster.start()
        limit = time.monotonic() + 60
        while cluster.sql("SELECT pg_is_in_recovery()") != "f":
            self.assertLess(time.monotonic(), limit, cluster.log_tail())
            time.sleep(0.05)


class Archiving(_WalCase):
    def test_everything_that_was_committed_comes_back(self):
        cluster = self.archiving_cluster()
        cluster.pgbench_init(scale=2)
        self.back_up(cluster)
        cluster.pgbench_start(4).wait()
        cluster.sql("CREATE TABLE last_words AS SELECT 'still here' AS text")
        self.archive_all(cluster)
        expected = cluster.pgbench_sums()
        self.assertGreater(expected[1], 100)
        report = self.verify()
        self.assertTrue(report["good"])
        cluster.kill()
        restored = self.restored()
        self.start_and_promote(restored)
        self.assertEqual(restored.pgbench_sums(), expected)
        self.assertEqual(restored.sql("SELECT text FROM last_words"), "still here")
        restored.amcheck()
        self.assertEqual(list((restored.data / "pg_wal").glob("salvor*")), [], "prefetched files are gone")

    def test_a_batch_is_stored_with_one_opening(self):
        """Ten segments are ready; the first call stores them all, the others need no repository."""
        cluster = postgres.Cluster.make(self, self.place, archive_mode="on", archive_command="false")
        for _ in range(10):
            cluster.sql("CREATE TABLE IF NOT EXISTS t (x int); INSERT INTO t VALUES (1); SELECT pg_switch_wal()")
        ready = sorted(p.stem for p in (cluster.data / "pg_wal/archive_status").glob("*.ready"))
        self.assertGreaterEqual(len(ready), 10)
        self.run_as_server(cluster, "wal", "push", "--notes", self.notes, f"pg_wal/{ready[0]}")
        self.assertEqual(set(self.journal()), set(ready))
        aside = self.repository.with_name("aside")
        self.repository.rename(aside)
        for name in ready[1:]:
            self.run_as_server(cluster, "wal", "push", "--notes", self.notes, f"pg_wal/{name}")
        # A note counts once: the archiver never asks twice for what it was told is done.
        self.run_as_server(cluster, "wal", "push", "--notes", self.notes, f"pg_wal/{ready[1]}", expect=10)
        aside.rename(self.repository)
        self.run_as_server(cluster, "wal", "push", "--notes", self.notes, f"pg_wal/{ready[1]}")
        self.verify(0, "--read-data")

    def test_notes_of_another_file_or_archive_do_not_count(self):
        cluster = postgres.Cluster.make(self, self.place, archive_mode="on", archive_command="false")
        for _ in range(3):
            cluster.sql("CREATE TABLE IF NOT EXISTS t (x int); INSERT INTO t VALUES (1); SELECT pg_switch_wal()")
        ready = sorted(p.stem for p in (cluster.data / "pg_wal/archive_status").glob("*.ready"))
        cluster.stop()
        self.run_as_server(cluster, "wal", "push", "--notes", self.notes, f"pg_wal/{ready[0]}")
        # The file is written anew (a clone's, a recycled one): the note of the old one must not pass for it.
        path = cluster.data / "pg_wal" / ready[1]
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        told = self.run_as_server(cluster, "wal", "push", "--notes", self.notes, f"pg_wal/{ready[1]}", expect=1)
        self.assertIn("another content is stored", told)
        self.salvor(self.repository.with_name("second"), "init")
        self.place.own(self.repository.with_name("second"))
        self.repository = self.repository.with_name("second")
        self.run_as_server(cluster, "wal", "push", "--notes", self.notes, "--batch", "0", f"pg_wal/{ready[2]}")
        self.assertEqual(set(self.journal()), {ready[2]})

    def test_the_same_again_is_fine_and_another_content_is_refused(self):
        cluster = self.archiving_cluster()
        cluster.sql("CREATE TABLE t AS SELECT 1")
        name = self.archive_all(cluster)
        self.run_as_server(cluster, "wal", "push", f"pg_wal/{name}")
        stored = self.journal()[name].read_bytes()
        forged = self.place.path / "cluster2"
        (forged / "pg_wal").mkdir(parents=True)
        (forged / "global").mkdir()
        (forged / "global/pg_control").write_bytes((cluster.data / "global/pg_control").read_bytes())
        content = bytearray((cluster.data / "pg_wal" / name).read_bytes())
        content[100_000] ^= 1
        (forged / "pg_wal" / name).write_bytes(content)
        self.place.own(forged)
        told = self.run_as_server(cluster, "wal", "push", str(forged / "pg_wal" / name), expect=1)
        self.assertIn("another content is stored", told)
        self.assertEqual(self.journal()[name].read_bytes(), stored)

    def test_what_is_not_that_segment_is_not_stored(self):
        cluster = self.archiving_cluster()
        cluster.sql("CREATE TABLE t AS SELECT 1")
        name = self.archive_all(cluster)
        before = set(self.journal())
        good = (cluster.data / "pg_wal" / name).read_bytes()
        nearby = name[:-1] + format((int(name[-1], 16) + 7) % 16, "X")
        for wrong_name, content in ((nearby, good), (nearby, good[:-1]), (nearby, bytes(len(good))), ("nonsense", good)):
            path = cluster.data / "pg_wal" / wrong_name
            path.write_bytes(content)
            self.place.own(path)
            self.run_as_server(cluster, "wal", "push", f"pg_wal/{wrong_name}", expect=64 if wrong_name == "nonsense" else 20)
            path.unlink()
        other = postgres.Cluster.make(self, self.place, name="other")
        path = cluster.data / "pg_wal" / "000000010000000000000001"
        path.write_bytes((other.data / "pg_wal/000000010000000000000001").read_bytes())
        self.assertIn("cluster", self.run_as_server(cluster, "wal", "push", f"pg_wal/{path.name}", expect=20))
        self.assertEqual(set(self.journal()), before)

    def test_a_storage_that_is_away_keeps_the_wal_on_the_server(self):
        cluster = self.archiving_cluster()
        cluster.sql("CREATE TABLE t AS SELECT 1")
        self.archive_all(cluster)
        aside = self.repository.with_name("aside")
        self.repository.rename(aside)
        name = cluster.sql("CREATE TABLE u AS SELECT 1; SELECT pg_walfile_name(pg_switch_wal())").splitlines()[-1]
        time.sleep(2)
        self.assertTrue((cluster.data / "pg_wal/archive_status" / (name + ".ready")).exists())
        aside.rename(self.repository)
        limit = time.monotonic() + 90
        while name not in self.journal():
            self.assertLess(time.monotonic(), limit)
            time.sleep(0.2)
        self.assertTrue(self.verify()["good"])


class Fetching(_WalCase):
    def fetch(self, cluster, name, expect, *options):
        return self.run_as_server(cluster, *options, "wal", "fetch", name, "pg_wal/RECOVERYXLOG", expect=expect)

    def test_absent_and_unknown_are_different(self):
        cluster = self.archiving_cluster()
        cluster.sql("CREATE TABLE t AS SELECT 1")
        name = self.archive_all(cluster)
        self.fetch(cluster, name, 0)
        self.assertEqual((cluster.data / "pg_wal/RECOVERYXLOG").read_bytes(), (cluster.data / "pg_wal" / name).read_bytes())
        self.fetch(cluster, "00000002.history", 1)
        self.fetch(cluster, "0000000100000FFF000000FE", 1)
        # Everything else must stop recovery.
        self.fetch(cluster, "nonsense", 255)
        self.fetch(cluster, name, 255, "--password-command", "echo wrong")
        self.fetch(cluster, name, 255, "--no-such-option")
        self.journal()[name].chmod(0o600)
        self.journal()[name].write_bytes(b"rotten" * 100)
        self.fetch(cluster, name, 255)
        aside = self.repository.with_name("aside")
        self.repository.rename(aside)
        self.fetch(cluster, name, 255)
        self.fetch(cluster, "00000002.history", 255)

    def test_a_hole_stops_recovery_instead_of_promoting(self):
        cluster = self.archiving_cluster()
        cluster.pgbench_init(scale=1)
        self.back_up(cluster)
        names = []
        for number in range(5):
            cluster.sql(f"CREATE TABLE t{number} AS SELECT 1")
            names.append(self.archive_all(cluster))
        cluster.kill()
        self.journal()[names[2]].unlink()
        report = self.verify(20)
        self.assertEqual([b["missing"] for b in report["backups"]], [[names[2]]])
        restored = self.restored(hot_standby="off")
        with self.assertRaisesRegex(AssertionError, "the server did not start|not ready"):
            restored.start(wait=30)
        self.assertIn("hole", restored.log_tail(100_000))
        self.assertFalse(list((restored.data / "pg_wal").glob("00000002*")), "it was not promoted")

    def test_what_a_later_timeline_comes_from_must_be_there(self):
        cluster = self.archiving_cluster()
        self.back_up(cluster)
        for number in range(3):
            cluster.sql(f"CREATE TABLE t{number} AS SELECT 1")
            last = self.archive_all(cluster)
        cluster.kill()
        second = self.restored(name="second")
        second.configure(archive_mode="on", archive_command=self.command("wal", "push", "--notes", self.notes, "%p"))
        self.start_and_promote(second)
        second.sql("CREATE TABLE u AS SELECT 1")
        self.archive_all(second)
        bare = self.place.path / "bare" / "pg_wal"  # which has none of these files itself
        bare.mkdir(parents=True)
        self.place.own(bare)

        def fetch(name, expect):
            self.run_as_server(second, "wal", "fetch", "--pgdata", second.data, name, bare / "RECOVERYXLOG", expect=expect)

        fetch(last, 0)
        fetch("00000002.history", 0)
        fetch("00000003.history", 1)
        self.journal()[last].unlink()
        fetch(last, 255)
        self.journal()["00000002.history"].unlink()
        fetch("00000002.history", 255)
        fetch("00000003.history", 1)

    def test_a_recovered_server_switches_timelines_and_archives_on(self):
        cluster = self.archiving_cluster()
        cluster.pgbench_init(scale=1)
        self.back_up(cluster)
        cluster.sql("CREATE TABLE first_line AS SELECT 1")
        self.archive_all(cluster)
        cluster.kill()
        second = self.restored(name="second")
        second.configure(archive_mode="on")
        self.start_and_promote(second)
        second.sql("CREATE TABLE second_line AS SELECT 2")
        self.archive_all(second)
        self.assertIn("00000002.history", self.journal())
        self.assertTrue(self.verify()["good"])
        second.kill()
        third = self.restored(name="third")
        self.start_and_promote(third)
        self.assertEqual(third.sql("SELECT * FROM first_line, second_line"), "1|2")


class Pruning(_WalCase):
    def test_only_wal_that_no_backup_needs_goes(self):
        cluster = self.archiving_cluster()
        cluster.sql("CREATE TABLE t AS SELECT 1")
        self.archive_all(cluster)
        refused = self.salvor(self.repository, "wal", "prune", expect=1)
        self.assertIn("no backup", refused.errors)
        first = self.back_up(cluster)
        for number in range(3):
            cluster.sql(f"CREATE TABLE t{number} AS SELECT 1")
            self.archive_all(cluster)
        self.back_up(cluster)
        cluster.sql("CREATE TABLE after AS SELECT 1")
        self.archive_all(cluster)
        self.salvor(self.repository, "wal", "prune")
        report = self.verify()
        self.assertEqual(len(report["backups"]), 2)
        before = len(self.journal())
        self.salvor(self.repository, "forget", first)
        self.salvor(self.repository, "wal", "prune", "--dry-run")
        self.assertEqual(len(self.journal()), before)
        self.salvor(self.repository, "wal", "prune")
        self.assertLess(len(self.journal()), before)
        self.assertTrue(self.verify()["good"])
        cluster.kill()
        restored = self.restored()
        self.start_and_promote(restored)
        self.assertEqual(restored.sql("SELECT * FROM after"), "1")

    def test_prune_of_data_leaves_the_journal_alone(self):
        cluster = self.archiving_cluster()
        self.back_up(cluster)
        cluster.sql("CREATE TABLE t AS SELECT 1")
        self.archive_all(cluster)
        before = set(self.journal())
        self.salvor(self.repository, "prune")
        self.assertTrue(before <= set(self.journal()))
        self.assertTrue(self.verify(0, "--read-data")["good"])
        self.assertIsInstance(self.repository, pathlib.Path)
