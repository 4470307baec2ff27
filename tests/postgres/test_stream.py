"""WAL by streaming (P3): seconds behind, honest towards the server, unbroken whatever is killed or taken away."""
import signal
import subprocess
import time

import postgres
from test_restore import _RestoreCase
from toolbox import needs_root


class Stream(_RestoreCase):
    def setUp(self):
        super().setUp()
        self.spool = self.place.path / "spool"

    def stream(self, cluster, *arguments):
        process = self.background(self.salvor.start(self.repository, "wal", "stream", "-d", cluster.url, "--create-slot",
                                                    "--spool", self.spool, "--flush", "1s", *arguments))
        self.wait(lambda: cluster.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") != "0")
        return process

    def take_storage_away(self):
        """Nothing can be written to the journal any more."""
        area = self.repository / "salvor"
        if area.exists():
            area.rename(self.repository / "salvor.aside")
        area.write_text("not a directory")

    def bring_storage_back(self):
        area = self.repository / "salvor"
        area.unlink()
        if (self.repository / "salvor.aside").exists():
            (self.repository / "salvor.aside").rename(area)

    def wait(self, condition, seconds=60):
        until = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)

    def stop(self, process):
        process.send_signal(signal.SIGTERM)
        return self.finish(process)

    def committed(self, cluster):
        return cluster.pgbench_sums()

    def recovered_sums(self, name="restored"):
        cluster, _ = self.restore_and_start(name, "--copy")
        sums = cluster.pgbench_sums()
        cluster.kill()
        return sums

    def test_seconds_after_a_commit_it_is_safe_without_a_full_segment(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.pgbench_init(scale=1)
        stream = self.stream(cluster)
        self.back_up(cluster)
        cluster.sql("CREATE TABLE precious AS SELECT 'yes' AS saved")
        time.sleep(4)
        stream.kill()  # nobody flushes anything any more
        stream.wait()
        cluster.kill()
        self.assertTrue(any(".tail-" in name for name in self.journal()))
        restored, _ = self.restore_and_start("restored", "--copy")
        self.assertEqual(restored.sql("SELECT saved FROM precious"), "yes")

    def test_whatever_is_killed_nothing_committed_is_lost(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.pgbench_init(scale=1)
        stream = self.stream(cluster)
        self.back_up(cluster)
        load = cluster.pgbench_start(60)
        for _ in range(4):
            time.sleep(self.random.uniform(0.2, 1.5))
            stream.kill()
            stream.wait()
            cluster.sql("SELECT pg_switch_wal()")
            stream = self.stream(cluster)
        load.terminate()
        load.wait()
        expected = self.committed(cluster)
        self.stop(stream)
        self.assertTrue(self.verify(0, "--read-data")["good"])
        cluster.kill()
        self.assertEqual(self.recovered_sums(), expected)

    def test_a_server_that_dies_and_comes_back_is_followed_on(self):
        cluster = postgres.Cluster.make(self, self.place, fsync="on")
        cluster.pgbench_init(scale=1)
        stream = self.stream(cluster)
        self.back_up(cluster)
        for _ in range(2):
            load = cluster.pgbench_start(60)
            time.sleep(self.random.uniform(0.5, 1.5))
            cluster.kill()
            load.wait()
            cluster.start()
        self.wait(lambda: cluster.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") != "0")
        self.assertIsNone(stream.poll())
        expected = self.committed(cluster)
        time.sleep(2)
        self.stop(stream)
        self.assertTrue(self.verify()["good"])
        self.assertEqual(self.recovered_sums(), expected)

    def test_a_storage_that_is_away_never_holds_the_server(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.pgbench_init(scale=1)
        stream = self.stream(cluster)
        self.back_up(cluster)
        self.take_storage_away()
        for _ in range(3):
            cluster.sql("CREATE TABLE IF NOT EXISTS filler (x int); INSERT INTO filler VALUES (1); SELECT pg_switch_wal()")
        flushed = cluster.sql("SELECT pg_current_wal_flush_lsn()")
        self.wait(lambda: cluster.sql(f"SELECT flush_lsn >= '{flushed}' FROM pg_stat_replication") == "t")
        begun = time.monotonic()
        cluster.stop()
        self.assertLess(time.monotonic() - begun, 10, "a shutdown waits for whoever does not say what it has flushed")
        cluster.start()
        self.wait(lambda: len([p for p in self.spool.rglob("*") if len(p.name) == 24]) >= 3)
        self.bring_storage_back()
        self.wait(lambda: not [p for p in self.spool.rglob("*") if len(p.name) == 24])
        self.assertIn("WAL cannot be stored", self.stop(stream).errors)
        self.assertTrue(self.verify()["good"])

    def test_a_full_spool_leaves_the_wal_on_the_server(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.sql("CREATE TABLE filler (x int)")
        stream = self.stream(cluster, "--spool-limit", "32M")
        self.back_up(cluster)
        self.take_storage_away()
        for _ in range(8):
            cluster.sql("INSERT INTO filler VALUES (1); SELECT pg_switch_wal()")
            cluster.sql("CHECKPOINT")
            time.sleep(0.2)
        self.assertLessEqual(len([p for p in self.spool.rglob("*") if len(p.name) == 24]), 4)
        self.bring_storage_back()
        cluster.sql("CREATE TABLE at_last AS SELECT 1")
        end = cluster.sql("SELECT pg_walfile_name(pg_switch_wal())")
        self.wait(lambda: end in self.journal())
        self.assertIn("the spool is full", self.stop(stream).errors)
        self.assertTrue(self.verify()["good"])
        cluster.kill()
        restored, _ = self.restore_and_start("restored", "--copy")
        self.assertEqual(restored.sql("SELECT count(*) FROM filler, at_last"), "8")

    @needs_root
    def test_a_spool_on_a_full_disk_loses_nothing_and_holds_nobody(self):
        """16 MiB and a little: one segment fits. What cannot be kept must not be called flushed."""
        cluster = postgres.Cluster.make(self, self.place)
        cluster.sql("CREATE TABLE filler (x int)")
        self.spool.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m,mode=0777", "tmpfs", self.spool], check=False).returncode:
            self.skipTest("mounting a small disk is not allowed here")
        self.addCleanup(subprocess.run, ["umount", "-l", self.spool], check=False)
        stream = self.stream(cluster)
        self.back_up(cluster)
        self.take_storage_away()
        for _ in range(6):
            cluster.sql("INSERT INTO filler VALUES (1); SELECT pg_switch_wal()")
            cluster.sql("CHECKPOINT")
        time.sleep(2)
        self.assertEqual(cluster.sql("SELECT count(*) FROM filler"), "6", "the server works on")
        self.assertEqual(cluster.sql("SELECT pg_current_wal_lsn() - restart_lsn > 50000000 FROM pg_replication_slots"),
                         "t", "and keeps what could not be received")
        self.assertIsNone(stream.poll())
        self.bring_storage_back()
        cluster.sql("CREATE TABLE at_last AS SELECT 1")
        end = cluster.sql("SELECT pg_walfile_name(pg_switch_wal())")
        self.wait(lambda: end in self.journal())
        self.assertIn("No space left", self.stop(stream).errors)
        self.assertTrue(self.verify()["good"])
        cluster.kill()
        restored, _ = self.restore_and_start("restored", "--copy")
        self.assertEqual(restored.sql("SELECT count(*) FROM filler, at_last"), "6")

    def test_a_promoted_standby_is_followed_to_its_new_timeline(self):
        primary = postgres.Cluster.make(self, self.place, wal_keep_size="256MB")
        primary.pgbench_init(scale=1)
        standby = postgres.Cluster(self, self.place.path / "standby")
        postgres.run([primary.bin / "pg_basebackup", "-D", standby.data, "-R", "-c", "fast", "-d", primary.url])
        standby.start()
        stream = self.stream(standby)
        self.back_up(primary)
        primary.sql("CREATE TABLE old_line AS SELECT 1")
        point = primary.sql("SELECT pg_current_wal_insert_lsn()")
        self.wait(lambda: standby.sql(f"SELECT pg_last_wal_replay_lsn() >= '{point}'") == "t")
        primary.kill()
        standby.sql("SELECT pg_promote()")
        standby.sql("CREATE TABLE new_line AS SELECT 2")
        end = standby.sql("SELECT pg_walfile_name(pg_switch_wal())")
        self.assertTrue(end.startswith("00000002"))
        self.wait(lambda: end in self.journal())
        self.stop(stream)
        self.assertIn("00000002.history", self.journal())
        self.assertTrue(any(n.endswith(".partial") for n in self.journal()))
        self.assertTrue(self.verify()["good"])
        standby.kill()
        restored, summary = self.restore_and_start("restored", "--copy")
        self.assertEqual(restored.sql("SELECT * FROM old_line, new_line"), "1|2")
        self.assertEqual(summary["timeline"], 3)

    def test_wal_that_is_gone_is_an_alarm_not_a_gap(self):
        cluster = postgres.Cluster.make(self, self.place, wal_keep_size="0", max_wal_size="32MB", min_wal_size="32MB")
        cluster.sql("CREATE TABLE filler (x int)")
        self.stop(self.stream(cluster))
        cluster.sql("SELECT pg_drop_replication_slot('salvor')")
        for _ in range(6):
            cluster.sql("INSERT INTO filler VALUES (1); SELECT pg_switch_wal()")
            cluster.sql("CHECKPOINT")
        process = self.background(self.salvor.start(self.repository, "wal", "stream", "-d", cluster.url, "--create-slot",
                                                    "--spool", self.spool))
        result = self.finish(process, expect=20)
        self.assertIn("new backup", result.errors)
