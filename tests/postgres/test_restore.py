"""Recovery to any moment (P3, R1, R5, R6, R11): what is promised about each target is counted in the recovered server."""
import json
import os
import shutil
import subprocess
import time

import postgres
from test_wal import _WalCase


class _RestoreCase(_WalCase):
    def restore(self, target, *arguments, expect=0):
        result = self.salvor(self.repository, "postgres", "restore", "--json", "--target", target, *arguments,
                             expect=expect, timeout=110)
        return json.loads(result.out.splitlines()[-1]) if expect == 0 else result

    def restore_and_start(self, name, *arguments):
        """What the user does afterwards: starts it as usual."""
        target = self.place.path / name
        summary = self.restore(target, *arguments)
        cluster = postgres.Cluster(self, target)
        cluster.start(archive_mode="off")
        return cluster, summary

    def refused(self, *arguments, expect=1):
        target = self.place.path / "refused"
        result = self.restore(target, *arguments, expect=expect)
        self.assertFalse((target / "global/pg_control").exists(), "nothing was restored")
        return result.errors

    def assert_not_promoted(self, target):
        self.assertFalse(list((target / "pg_wal").glob("00000002*")))
        self.assertTrue((target / "recovery.signal").exists())


class Targets(_RestoreCase):
    """One cluster whose history is known exactly: a row a step, and what the log and the clock said then."""

    def setUp(self):
        super().setUp()
        self.cluster = self.archiving_cluster(track_commit_timestamp="on")
        self.cluster.sql("CREATE TABLE steps (n int primary key)")
        self.cluster.pgbench_init(scale=1)
        self.early = self.now()
        time.sleep(0.05)
        self.first = self.back_up(self.cluster)
        self.steps = {}
        load = self.cluster.pgbench_start(60, clients=1)
        for n in range(1, 7):
            xid = self.cluster.sql(f"INSERT INTO steps VALUES ({n}) RETURNING pg_current_xact_id()")
            self.cluster.sql(f"SELECT pg_create_restore_point('step{n}')")
            time.sleep(0.05)
            self.steps[n] = {"xid": xid, "time": self.now(), "lsn": self.cluster.sql("SELECT pg_current_wal_insert_lsn()")}
            time.sleep(0.05)
            if n == 4:
                self.second = self.back_up(self.cluster)
            if n % 2:
                self.cluster.sql("SELECT pg_switch_wal()")
        load.terminate()
        load.wait()
        self.archive_all(self.cluster)
        self.final = self.cluster.pgbench_sums()

    def now(self):
        return self.cluster.sql("SELECT clock_timestamp() AT TIME ZONE 'UTC'") + "Z"

    def assert_steps(self, cluster, expected):
        self.assertEqual(cluster.sql("SELECT string_agg(n::text, ',' ORDER BY n) FROM steps"),
                         ",".join(str(n) for n in range(1, expected + 1)))
        cluster.pgbench_sums()

    def test_latest(self):
        cluster, summary = self.restore_and_start("r")
        self.assertEqual(summary["snapshot_id"], self.second)
        self.assert_steps(cluster, 6)
        self.assertEqual(cluster.pgbench_sums(), self.final)
        cluster.amcheck()

    def test_every_kind_of_target(self):
        for n, arguments, expected in (
                (5, ("--to-time", self.steps[5]["time"]), 5),
                (2, ("--to-lsn", self.steps[2]["lsn"]), 2),
                (5, ("--to-xid", self.steps[5]["xid"]), 5),
                (6, ("--to-xid", self.steps[6]["xid"], "--before"), 5),
                (6, ("--to-name", "step6"), 6)):
            with self.subTest(arguments):
                cluster, summary = self.restore_and_start(f"r{n}{'b' * ('--before' in arguments)}{arguments[0]}", "--copy", *arguments)
                self.assert_steps(cluster, expected)
                self.assertIn("recovery stopping", summary["stopped"])
                self.assertEqual(summary["timeline"], 2)
                cluster.kill()

    def test_immediate_is_the_end_of_the_backup_named(self):
        target = self.place.path / "r"
        self.restore(target, "--to", "immediate", self.first)
        cluster = postgres.Cluster(self, target)
        cluster.start(archive_mode="off")
        self.assertLess(int(cluster.sql("SELECT count(*) FROM steps")), 4)
        cluster.pgbench_sums()

    def test_the_backup_is_chosen_by_the_target(self):
        for n, expected in ((2, self.first), (5, self.second)):
            for arguments in (("--to-time", self.steps[n]["time"]), ("--to-lsn", self.steps[n]["lsn"])):
                told = self.salvor(self.repository, "postgres", "restore", "--dry-run", "--target", "/nowhere", *arguments)
                self.assertIn(f"backup {expected[:8]}", told.text + told.errors)

    def test_what_a_backup_cannot_reach_is_refused_and_the_right_one_named(self):
        told = self.refused(self.second, "--to-time", self.steps[2]["time"])
        self.assertIn(f"Backup {self.first[:8]}", told)
        told = self.refused(self.second, "--to-lsn", self.steps[2]["lsn"])
        self.assertIn(f"Backup {self.first[:8]}", told)
        told = self.refused("--to-time", self.early)
        self.assertIn("No other backup can", told)
        self.assertIn(self.first[:8], told)
        self.assertIn("WAL behind it ends", self.refused("--to-lsn", "FF/0"))

    def test_a_target_that_is_not_met_is_not_promoted(self):
        for arguments in (("--to-name", "never"), ("--to-time", "2099-01-01 00:00:00Z"), ("--to-xid", self.steps[2]["xid"], self.second)):
            with self.subTest(arguments):
                target = self.place.path / arguments[0]
                result = self.restore(target, *arguments, expect=1)
                self.assertIn("target was not met", result.errors)
                self.assert_not_promoted(target)

    def test_pause_leaves_a_cluster_that_waits_at_the_target(self):
        target = self.place.path / "r"
        self.restore(target, "--to-xid", self.steps[5]["xid"], "--action", "pause")
        self.assert_not_promoted(target)
        self.place.own(target)
        # The settings that were left name no password file: the environment has the password, as the user's would.
        cluster = postgres.Cluster(self, target)
        os.environ["SALVOR_PASSWORD_FILE"] = str(self.password)
        self.addCleanup(os.environ.pop, "SALVOR_PASSWORD_FILE")
        cluster.start()
        until = time.monotonic() + 30
        while cluster.sql("SELECT pg_is_wal_replay_paused()") != "t":
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)
        self.assert_steps(cluster, 5)

    def test_a_hole_or_a_wrong_byte_never_ends_in_a_promoted_cluster(self):
        names = sorted(n for n in self.journal() if len(n) == 24)
        path = self.journal()[names[-1]]
        good = self.flip_bit(path, -1)
        target = self.place.path / "damaged"
        result = self.restore(target, expect=20)
        self.assertIn("not promoted", result.errors)
        self.assert_not_promoted(target)
        path.write_bytes(good)
        self.journal()[names[-2]].unlink()
        self.assertIn("hole", self.refused())
        target = self.place.path / "hole"
        result = self.restore(target, "--to-time", "2099-01-01 00:00:00Z", expect=20)
        self.assertIn("hole", result.errors)
        self.assert_not_promoted(target)


class Places(_RestoreCase):
    def test_a_broken_cluster_is_kept_aside(self):
        cluster = self.archiving_cluster()
        cluster.sql("CREATE TABLE t AS SELECT 42 AS x")
        self.back_up(cluster)
        self.archive_all(cluster)
        self.assertIn("a PostgreSQL server runs", self.restore(cluster.data, "--existing", "move", expect=1).errors)
        self.assertIn("not empty", self.restore(cluster.data, expect=64).errors)
        cluster.stop()
        (cluster.data / "precious").write_text("by hand")
        summary = self.restore(cluster.data, "--existing", "move")
        self.assertEqual(open(summary["moved_aside"] + "/precious", encoding="utf-8").read(), "by hand")
        cluster.start()
        self.assertEqual(cluster.sql("SELECT x FROM t"), "42")

    def test_overwrite_writes_only_what_differs(self):
        cluster = self.archiving_cluster()
        cluster.pgbench_init(scale=6)
        cluster.sql("CREATE TABLE small AS SELECT generate_series(1, 1000) AS x")
        cluster.sql("CHECKPOINT")
        self.back_up(cluster)
        self.archive_all(cluster)
        cluster.sql("DELETE FROM small; CREATE TABLE wrong AS SELECT 1; CHECKPOINT")
        cluster.stop()
        summary = self.restore(cluster.data, "--existing", "overwrite", "--to", "immediate")
        self.assertLess(summary["bytes_written"], summary["bytes_restored"] / 2)
        self.assertEqual(self.kept(cluster), [])
        cluster.start()
        self.assertEqual(cluster.sql("SELECT count(*) FROM small"), "1000")
        cluster.sql("SELECT * FROM wrong", expect=1)
        cluster.pgbench_sums()
        cluster.stop()
        cluster.check_checksums()

    def kept(self, cluster):
        return sorted(p for p in cluster.data.parent.iterdir() if p.name.startswith(cluster.data.name + ".before-"))

    def lived_on(self, **spaces):
        """A cluster that was backed up and has lived on; what it is like now."""
        cluster = self.archiving_cluster()
        for name, place in spaces.items():
            place.mkdir()
            self.place.own(place)
            cluster.sql(f"CREATE TABLESPACE {name} LOCATION '{place}'")
            cluster.sql(f"CREATE TABLE in_{name} TABLESPACE {name} AS SELECT generate_series(1, 5000) AS x")
        cluster.pgbench_init(scale=4)
        cluster.sql("CHECKPOINT")
        self.back_up(cluster)
        self.then = cluster.pgbench_sums()
        postgres.run([postgres.DEBIAN_15 / "pgbench", "-n", "-t", 100, "-h", "127.0.0.1", "-p", cluster.port, "-U", postgres.USER,
                      "postgres"])
        for name in spaces:
            cluster.sql(f"DELETE FROM in_{name} WHERE x > 10")
        cluster.sql("CREATE TABLE since AS SELECT 7 AS x")
        self.archive_all(cluster)
        self.now_there = cluster.pgbench_sums()
        cluster.stop()
        return cluster

    def assert_is_the_old_one(self, cluster):
        cluster.start()
        self.assertEqual(cluster.sql("SELECT x FROM since"), "7")
        self.assertEqual(cluster.pgbench_sums(), self.now_there)
        cluster.stop()
        cluster.check_checksums()

    def take_back(self, result):
        """As the program says."""
        hint = json.loads(result.errors.splitlines()[-1])["hint"]
        ways = [line.strip() for line in hint.splitlines() if line.strip().startswith("rm -rf ")]
        self.assertTrue(ways, result.errors)
        for way in ways:
            subprocess.run(["sh", "-c", way], check=True)

    def test_delta_keeps_the_old_cluster_and_fetches_only_what_differs(self):
        space = self.place.path / "a space"
        cluster = self.lived_on(elsewhere=space)
        summary = self.restore(cluster.data, "--existing", "delta", "--to", "immediate")
        self.assertLess(summary["bytes_written"], summary["bytes_restored"] / 2)
        cluster.start(archive_mode="off")
        self.assertEqual(cluster.pgbench_sums(), self.then)
        self.assertEqual(cluster.sql("SELECT count(*) FROM in_elsewhere"), "5000")
        cluster.sql("SELECT * FROM since", expect=1)
        cluster.pgbench_start(1).wait()  # whatever the new one does
        cluster.stop()
        cluster.check_checksums()
        self.assertEqual([str(p) for p in self.kept(cluster)], [summary["moved_aside"]])
        for new in (cluster.data, space):
            shutil.rmtree(new)
            old, = new.parent.glob(f"{new.name}.before-*")
            old.rename(new)
        cluster.start()
        self.assertEqual(cluster.sql("SELECT count(*) FROM in_elsewhere"), "10")
        cluster.stop()
        self.assert_is_the_old_one(cluster)

    def test_a_delta_restore_that_fails_in_recovery_is_taken_back(self):
        cluster = self.lived_on()
        names = sorted(n for n in self.journal() if len(n) == 24)
        path = self.journal()[names[-1]]
        good = self.flip_bit(path, -1)
        failed = self.restore(cluster.data, "--existing", "delta", expect=20)
        self.assertIn("The old cluster is whole", failed.errors)
        self.assertIn("not promoted", failed.errors)
        self.assertTrue((cluster.data / "PG_VERSION").exists())
        self.take_back(failed)
        self.assertEqual(self.kept(cluster), [])
        self.assert_is_the_old_one(cluster)
        path.write_bytes(good)
        self.restore(cluster.data, "--existing", "delta")
        cluster.start()
        self.assertEqual(cluster.pgbench_sums(), self.now_there)

    def test_a_delta_restore_that_is_cut_off_is_finished_or_taken_back(self):
        cluster = self.lived_on()

        def cut_off():
            process = self.background(self.salvor.start(
                self.repository, "postgres", "restore", "--target", cluster.data, "--existing", "delta",
                prefix=("prlimit", "--fsize=20000000")))
            result = self.finish(process, expect=None)
            self.assertNotEqual(result.code, 0)
            self.assertFalse((cluster.data / "global/pg_control").exists(), "no server starts from it")
            return result

        cut_off()
        old, = self.kept(cluster)
        shutil.rmtree(cluster.data)
        old.rename(cluster.data)
        self.assert_is_the_old_one(cluster)
        cut_off()
        cut_off()
        old = self.kept(cluster)
        self.assertEqual(len(old), 1, "what was half restored is not taken for the old cluster")
        summary = self.restore(cluster.data, "--existing", "delta", "--to", "immediate")
        self.assertEqual([summary["moved_aside"]], [str(p) for p in old])
        self.assertEqual([n for n in os.listdir(cluster.data) if "salvor" in n], [])
        cluster.start(archive_mode="off")
        self.assertEqual(cluster.pgbench_sums(), self.then)
        cluster.stop()
        shutil.rmtree(cluster.data)
        old[0].rename(cluster.data)
        self.assert_is_the_old_one(cluster)

    def test_delta_needs_room_and_says_so_before_it_changes_anything(self):
        cluster = self.lived_on()
        small = self.place.path / "small"
        small.mkdir()
        size = sum(p.stat().st_size for p in cluster.data.rglob("*") if p.is_file()) + (40 << 20)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", small], check=False).returncode:
            self.skipTest("mounting a small disk is not allowed here")
        self.addCleanup(subprocess.run, ["umount", "-l", small], check=False)
        target = small / "data"
        subprocess.run(["cp", "-a", cluster.data, target], check=True)
        refused = self.restore(target, "--existing", "delta", expect=None)
        self.assertIn("there is no room to keep", refused.errors)
        self.assertEqual(os.listdir(small), ["data"])
        self.assertTrue((target / "global/pg_control").exists())

    def test_delta_touches_nothing_that_is_no_cluster(self):
        cluster = self.archiving_cluster()
        self.back_up(cluster)
        target = self.place.path / "home"
        target.mkdir()
        (target / "letter").write_text("dear all")
        self.restore(target, "--existing", "delta", expect=64)
        self.assertEqual(os.listdir(target), ["letter"])

    def test_tablespaces_go_where_they_are_told(self):
        cluster = self.archiving_cluster()
        for name in ("one", "two"):
            space = self.place.path / f"space {name}"
            space.mkdir()
            self.place.own(space)
            cluster.sql(f"CREATE TABLESPACE {name} LOCATION '{space}'")
            cluster.sql(f"CREATE TABLE in_{name} TABLESPACE {name} AS SELECT generate_series(1, 100) AS x")
        self.back_up(cluster)
        cluster.sql("INSERT INTO in_one VALUES (101)")
        self.archive_all(cluster)
        restored, _ = self.restore_and_start(
            "r", "--tablespace-mapping", f"{self.place.path}/space one={self.place.path}/new one", "--tablespaces-in",
            self.place.path / "others")
        self.assertEqual(restored.sql("SELECT (SELECT count(*) FROM in_one), (SELECT count(*) FROM in_two)"), "101|100")
        self.assertTrue(any((self.place.path / "new one").iterdir()))
        # The original is still running and whole.
        self.assertEqual(cluster.sql("SELECT count(*) FROM in_two"), "100")

    def test_a_tablespace_that_another_cluster_uses_is_not_touched(self):
        """The original lives on and has its tablespace where the backup says."""
        cluster = self.archiving_cluster()
        space = self.place.path / "space"
        space.mkdir()
        self.place.own(space)
        cluster.sql(f"CREATE TABLESPACE elsewhere LOCATION '{space}'")
        cluster.sql("CREATE TABLE far TABLESPACE elsewhere AS SELECT generate_series(1, 5000) AS x")
        self.back_up(cluster)
        self.archive_all(cluster)
        for existing in ("refuse", "move", "delta", "overwrite"):
            with self.subTest(existing):
                target = self.place.path / existing
                refused = self.restore(target, "--copy", "--existing", existing, expect=64)
                self.assertIn("--tablespaces-in", refused.errors)
                self.assertFalse(target.exists())
        self.assertEqual(list(space.parent.glob("space.before-*")), [])
        copy, _ = self.restore_and_start("r", "--copy", "--tablespaces-in", self.place.path / "spaces")
        self.assertEqual(copy.sql("SELECT count(*) FROM far"), "5000")
        cluster.sql("INSERT INTO far VALUES (0); CHECKPOINT")
        cluster.stop()
        cluster.start()
        self.assertEqual(cluster.sql("SELECT count(*) FROM far"), "5001")

    def test_another_versions_part_of_a_tablespace_stays(self):
        space = self.place.path / "space"
        cluster = self.lived_on(elsewhere=space)
        other = space / "PG_12_201909212" / "1" / "2"
        other.parent.mkdir(parents=True)
        other.write_text("rows of another cluster")
        self.place.own(space)
        for existing in ("move", "delta"):
            refused = self.restore(cluster.data, "--existing", existing, expect=64)
            self.assertIn("PG_12_201909212", refused.errors)
            self.assertEqual(self.kept(cluster), [])
        self.restore(cluster.data, "--existing", "overwrite", "--to", "immediate")
        self.assertEqual(other.read_text(), "rows of another cluster")
        cluster.start(archive_mode="off")
        self.assertEqual(cluster.sql("SELECT count(*) FROM in_elsewhere"), "5000")

    def test_an_interrupted_restore_is_no_cluster_and_is_finished_by_delta(self):
        cluster = self.archiving_cluster()
        cluster.pgbench_init(scale=5)
        self.back_up(cluster)
        self.archive_all(cluster)
        expected = cluster.pgbench_sums()
        target = self.place.path / "r"
        process = self.background(self.salvor.start(self.repository, "postgres", "restore", "--target", target,
                                                    prefix=("prlimit", "--fsize=20000000")))
        self.assertNotEqual(self.finish(process, expect=None).code, 0)
        self.assertFalse((target / "global/pg_control").exists())
        self.assertGreater(len(os.listdir(target)), 0)
        self.restore(target, "--existing", "delta")
        self.assertEqual([n for n in os.listdir(target) if "salvor" in n], [])
        restored = postgres.Cluster(self, target)
        restored.start(archive_mode="off")
        self.assertEqual(restored.pgbench_sums(), expected)


class Timelines(_RestoreCase):
    def test_a_second_life_is_archived_and_both_lines_can_be_chosen(self):
        first = self.archiving_cluster()
        first.sql("CREATE TABLE life (n int)")
        self.back_up(first)
        first.sql("INSERT INTO life VALUES (1)")
        branch = first.sql("SELECT pg_current_wal_insert_lsn()")
        time.sleep(0.2)
        first.sql("INSERT INTO life VALUES (2)")
        self.archive_all(first)
        first.kill()
        # Recovered to before the 2, it goes on with a 3 and archives under timeline 2.
        target = self.place.path / "second"
        self.restore(target, "--to-lsn", branch)
        second = postgres.Cluster(self, target)
        second.start()
        second.sql("INSERT INTO life VALUES (3)")
        self.archive_all(second)
        second.kill()
        self.assertIn("00000002.history", self.journal())
        newest, summary = self.restore_and_start("newest", "--copy")
        self.assertEqual(newest.sql("SELECT string_agg(n::text, ',' ORDER BY n) FROM life"), "1,3")
        self.assertEqual(summary["timeline"], 3)
        newest.kill()
        self.assertNotIn("00000003.history", self.journal(), "a copy does not archive")
        old, _ = self.restore_and_start("old", "--timeline", "1")
        self.assertEqual(old.sql("SELECT string_agg(n::text, ',' ORDER BY n) FROM life"), "1,2")
        self.assertIn("does not come from it", self.refused("--timeline", "9"))


class Ends(_RestoreCase):
    """Recovery to the end: a server takes the first record that it cannot read for the end."""

    def setUp(self):
        super().setUp()
        self.cluster = postgres.Cluster.make(self, self.place, wal_keep_size="1GB")
        self.back_up(self.cluster)
        names = []
        for n in range(3):
            self.cluster.sql(f"CREATE TABLE t{n} AS SELECT generate_series(1, 60000) AS x")
            names.append(self.cluster.sql("SELECT pg_walfile_name(pg_switch_wal())"))
        self.last, damaged = names[-1], names[1]
        at = 1 << 20
        for path in sorted((self.cluster.data / "pg_wal").iterdir()):
            if len(path.name) != 24 or path.name > self.last:
                continue
            if path.name == damaged:
                content = bytearray(path.read_bytes())
                self.assertNotEqual(content[at:at + 8192], bytes(8192))
                content[at:at + 8192] = bytes(8192)
                path = self.place.path / damaged
                path.write_bytes(content)
            self.salvor(self.repository, "wal", "push", "--pgdata", self.cluster.data, "--batch", "0", "--notes", self.notes,
                        path)

    def test_damage_inside_of_a_segment_is_not_taken_for_the_end(self):
        target = self.place.path / "r"
        failed = self.restore(target, "--copy", expect=20)
        self.assertIn("recovery ended early", failed.errors)
        self.assertFalse((target / "global/pg_control").exists(), "no server starts from it")
        self.assertEqual([name for name in self.journal() if name.endswith(".history")], [])
        self.cluster.stop()
        self.restore(self.cluster.data, "--existing", "move", expect=20)
        kept, = self.cluster.data.parent.glob(self.cluster.data.name + ".before-*")
        self.assertTrue((kept / "global/pg_control").exists())

    def test_it_is_not_proven(self):
        sandbox = self.place.path / "sandbox"
        sandbox.mkdir(mode=0o755)
        self.place.path.chmod(0o755)
        told = self.salvor(self.repository, "postgres", "verify", "--start", "--sandbox", sandbox, "--no-amcheck", "--no-counts",
                           expect=20)
        self.assertIn("recovery ended early", told.text + told.errors)


class FreshMachine(_RestoreCase):
    def test_binary_location_and_key_are_enough(self):
        """R6: nothing of the old machine but the repository; no cache, no notes, another home."""
        cluster = self.archiving_cluster()
        cluster.pgbench_init(scale=1)
        self.back_up(cluster)
        self.archive_all(cluster)
        expected = cluster.pgbench_sums()
        cluster.kill()
        subprocess.run(["rm", "-rf", str(cluster.data), str(self.notes)], check=True)
        target = self.place.path / "r"
        self.salvor(self.repository, "postgres", "restore", "--target", target, env={"HOME": "/nonexistent"})
        restored = postgres.Cluster(self, target)
        restored.start(archive_mode="off")
        self.assertEqual(restored.pgbench_sums(), expected)
