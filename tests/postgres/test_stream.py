"""WAL by streaming (P3): seconds behind, honest towards the server, unbroken whatever is killed or taken away."""
import os
import shutil
import signal
import subprocess
import time

import postgres
from test_restore import _RestoreCase
from toolbox import limit, needs_root
from wire import Wire


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

    def test_a_position_in_the_unfinished_segment_is_reached(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.sql("CREATE TABLE t (n int)")
        stream = self.stream(cluster)
        self.back_up(cluster)
        cluster.sql("INSERT INTO t VALUES (1)")
        position = cluster.sql("SELECT pg_current_wal_insert_lsn()")
        cluster.sql("INSERT INTO t VALUES (2)")
        time.sleep(4)
        self.stop(stream)
        self.assertTrue(any(".tail-" in name for name in self.journal()))
        restored, _ = self.restore_and_start("restored", "--copy", "--to-lsn", position)
        self.assertEqual(restored.sql("SELECT string_agg(n::text, ',') FROM t"), "1")

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

    def test_a_stop_takes_what_was_committed_before(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.sql("CREATE TABLE t (n int)")
        for n in range(5):
            stream = self.stream(cluster)
            time.sleep(self.random.uniform(0, 0.3))
            committed = cluster.sql(f"BEGIN; INSERT INTO t VALUES ({n}); COMMIT; SELECT pg_current_wal_flush_lsn()")
            self.stop(stream)
            self.assertEqual(cluster.sql(f"SELECT restart_lsn >= '{committed}' FROM pg_replication_slots"), "t")

    def test_a_stop_under_load_takes_seconds_at_most(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.pgbench_init(scale=1)
        stream = self.stream(cluster)
        load = cluster.pgbench_start(60)
        time.sleep(1)
        written = cluster.sql("SELECT pg_current_wal_flush_lsn()")
        begun = time.monotonic()
        self.stop(stream)
        self.assertLess(time.monotonic() - begun, 20)
        self.assertEqual(cluster.sql(f"SELECT restart_lsn >= '{written}' FROM pg_replication_slots"), "t")
        load.terminate()
        load.wait()

    def test_a_stop_does_not_wait_for_a_server_that_is_gone(self):
        cluster = postgres.Cluster.make(self, self.place)
        wire = Wire(cluster.port)
        self.addCleanup(wire.close)
        stream = self.background(self.salvor.start(
            self.repository, "wal", "stream", "-d", cluster.url.replace(f":{cluster.port}/", f":{wire.port}/"), "--create-slot",
            "--spool", self.spool, "--flush", "1s"))
        self.wait(lambda: cluster.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") != "0")
        wire.freeze()
        begun = time.monotonic()
        self.stop(stream)
        self.assertLess(time.monotonic() - begun, 15)

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

    # what a server or a storage that is gone must not cost

    def start_again(self, cluster, expect):
        """A stream that ends by itself."""
        return self.finish(self.background(self.salvor.start(
            self.repository, "wal", "stream", "-d", cluster.url, "--create-slot", "--spool", self.spool)), expect=expect)

    def new_timeline(self, cluster, crash=False):
        """As a standby that is promoted. A server that archives ends its last segment when it is stopped, not in a crash."""
        if crash:
            cluster.kill()
        else:
            cluster.stop()
        (cluster.data / "standby.signal").touch()
        self.place.own(cluster.data)
        cluster.start()
        cluster.sql("SELECT pg_promote()")

    def all_received(self, cluster):
        end = cluster.sql("SELECT pg_current_wal_flush_lsn()")
        self.wait(lambda: cluster.sql(f"SELECT flush_lsn >= '{end}' FROM pg_stat_replication") == "t")

    @limit(180)
    def test_what_was_acknowledged_is_stored_when_the_server_is_gone(self):
        """It was received while the storage was away; then everything dies, and the server does not come back."""
        cluster = postgres.Cluster.make(self, self.place)
        cluster.sql("CREATE TABLE kept (x int)")
        stream = self.stream(cluster)
        self.back_up(cluster)
        self.take_storage_away()
        cluster.sql("INSERT INTO kept VALUES (1)")
        segment = cluster.sql("SELECT pg_walfile_name(pg_switch_wal())")
        cluster.sql("INSERT INTO kept VALUES (2)")
        self.all_received(cluster)
        stream.kill()
        stream.wait()
        cluster.kill()
        self.bring_storage_back()
        self.assertNotIn(segment, self.journal())
        self.start_again(cluster, expect=23)
        self.assertIn(segment, self.journal())
        self.assertTrue(self.verify()["good"])
        restored, _ = self.restore_and_start("restored", "--copy")
        self.assertEqual(restored.sql("SELECT sum(x) FROM kept"), "3")

    @limit(180)
    def test_a_reconnect_needs_no_storage(self):
        """Also on a later timeline, whose history has to be stored."""
        cluster = postgres.Cluster.make(self, self.place)
        self.new_timeline(cluster)
        stream = self.stream(cluster)
        self.back_up(cluster)
        self.take_storage_away()
        self.new_timeline(cluster)
        self.wait(lambda: cluster.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") != "0")
        cluster.sql("CREATE TABLE meanwhile AS SELECT 1 AS x")
        self.all_received(cluster)
        self.assertIsNone(stream.poll())
        self.bring_storage_back()
        end = cluster.sql("SELECT pg_walfile_name(pg_switch_wal())")
        self.wait(lambda: end in self.journal())
        self.stop(stream)
        self.assertLessEqual({"00000002.history", "00000003.history"}, set(self.journal()))
        self.assertTrue(self.verify()["good"])
        cluster.kill()
        restored, _ = self.restore_and_start("restored", "--copy")
        self.assertEqual(restored.sql("SELECT x FROM meanwhile"), "1")

    def test_every_promotion_before_the_stream_is_stored(self):
        cluster = postgres.Cluster.make(self, self.place)
        self.new_timeline(cluster)
        self.new_timeline(cluster)
        stream = self.stream(cluster)
        end = cluster.sql("SELECT pg_walfile_name(pg_switch_wal())")
        self.assertTrue(end.startswith("00000003"))
        self.wait(lambda: end in self.journal())
        self.stop(stream)
        self.assertLessEqual({"00000002.history", "00000003.history"}, set(self.journal()))

    @limit(180)
    def test_a_second_stream_waits_for_the_first(self):
        cluster = postgres.Cluster.make(self, self.place)
        first = self.stream(cluster)
        second = self.background(self.salvor.start(self.repository, "wal", "stream", "-d", cluster.url, "--create-slot",
                                                   "--spool", self.spool))
        time.sleep(2)
        self.assertIsNone(second.poll())
        self.assertEqual(cluster.sql("SELECT count(*) FROM pg_stat_replication"), "1")
        self.stop(first)
        self.wait(lambda: cluster.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == "1")
        end = cluster.sql("SELECT pg_walfile_name(pg_switch_wal())")
        self.wait(lambda: end in self.journal())
        self.assertIn("waiting: ", self.stop(second).errors)

    @limit(180)
    def test_what_waits_in_the_spool_counts_as_received(self):
        """Killed while the storage was away."""
        cluster = postgres.Cluster.make(self, self.place)
        stream = self.stream(cluster)
        self.back_up(cluster)
        self.take_storage_away()
        ends = [cluster.sql("CREATE TABLE IF NOT EXISTS t (); SELECT pg_logical_emit_message(false, 'x', 'x'); "
                            "SELECT pg_walfile_name(pg_switch_wal())").split()[-1] for _ in range(12)]
        spool = next(self.spool.iterdir())
        self.wait(lambda: {path.name for path in spool.iterdir()} >= set(ends))
        stream.kill()
        stream.wait()
        self.bring_storage_back()
        stream = self.stream(cluster)
        self.wait(lambda: set(ends) <= set(self.journal()))
        self.all_received(cluster)
        self.stop(stream)
        self.assertTrue(self.verify()["good"])

    @limit(180)
    def test_a_history_that_the_server_has_lost(self):
        cluster = postgres.Cluster.make(self, self.place)
        self.stop(self.stream(cluster))
        self.new_timeline(cluster)
        history = cluster.data / "pg_wal/00000002.history"
        history.rename(self.place.path / "history")
        refused = self.start_again(cluster, expect=1)
        self.assertIn("does not have 00000002.history, so nobody can tell where its timeline began", refused.errors)
        # Where nothing was archived before it is a warning: what comes now is worth having.
        self.repository = self.new_repository(name="another")
        self.spool = self.place.path / "another-spool"
        stream = self.stream(cluster)
        end = cluster.sql("SELECT pg_walfile_name(pg_switch_wal())")
        self.wait(lambda: end in self.journal())
        said = self.stop(stream).errors
        self.assertIn("the server does not have 00000002.history", said)
        self.assertIn("cannot be recovered to", said)

    @limit(180)
    def test_two_servers_that_were_promoted_to_one_number(self):
        cluster = postgres.Cluster.make(self, self.place)
        self.stop(self.stream(cluster))
        cluster.stop()
        other = postgres.Cluster(self, self.place.path / "other")
        shutil.copytree(cluster.data, other.data, symlinks=True)
        self.place.own(other.data)
        self.new_timeline(cluster)
        stream = self.stream(cluster)
        end = cluster.sql("SELECT pg_walfile_name(pg_switch_wal())")
        self.wait(lambda: {"00000002.history", end} <= set(self.journal()))
        self.stop(stream)
        cluster.kill()
        other.start()
        for _ in range(5):
            other.sql("SELECT pg_logical_emit_message(false, 'x', 'x'); SELECT pg_switch_wal()")
        self.new_timeline(other)
        before = set(self.journal())
        refused = self.start_again(other, expect=1)
        self.assertIn("the archive's timeline 2 is another one than this server's", refused.errors)
        self.assertEqual(set(self.journal()), before)

    @limit(180)
    def test_a_server_that_was_set_back_is_not_mixed_in(self):
        """A snapshot of its machine is put back: it goes on under the old timeline with another history."""
        cluster = postgres.Cluster.make(self, self.place)
        cluster.sql("CREATE TABLE t (x int)")
        self.stop(self.stream(cluster))
        cluster.stop()
        before = self.place.path / "before"
        shutil.copytree(cluster.data, before, symlinks=True)
        cluster.start()
        stream = self.stream(cluster)
        for n in range(3):
            end = cluster.sql(f"INSERT INTO t VALUES ({n}); SELECT pg_walfile_name(pg_switch_wal())")
        self.wait(lambda: end in self.journal())
        self.stop(stream)
        cluster.stop()
        shutil.rmtree(cluster.data)
        before.rename(cluster.data)
        self.place.own(cluster.data)
        cluster.start()
        cluster.sql("INSERT INTO t VALUES (100)")
        whole = {name for name in self.journal() if len(name) == 24}
        result = self.start_again(cluster, expect=20)
        self.assertIn("received up to", result.errors)
        self.assertIn("set back to an earlier state", result.errors)
        self.assertEqual({name for name in self.journal() if len(name) == 24}, whole)
        # What the hint says.
        self.new_timeline(cluster)
        stream = self.stream(cluster)
        self.back_up(cluster)
        cluster.sql("INSERT INTO t VALUES (200)")
        self.all_received(cluster)
        self.stop(stream)
        cluster.kill()
        restored, _ = self.restore_and_start("restored", "--copy")
        self.assertEqual(restored.sql("SELECT string_agg(x::text, ',' ORDER BY x) FROM t"), "100,200")

    @limit(180)
    def test_stream_and_archive_command_share_a_repository(self):
        """When a timeline ends, each has its own idea of the last segment: none must be stopped by that of another."""
        cluster = self.archiving_cluster()
        stream = self.background(subprocess.Popen(
            postgres.as_user([self.salvor.binary, "-r", self.repository, "--password-file", self.password, "wal", "stream",
                              "-d", cluster.url, "--create-slot", "--spool", self.spool, "--flush", "1s"]),
            cwd="/", env={"PATH": os.environ["PATH"]}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE))
        self.wait(lambda: cluster.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") != "0")
        self.archive_all(cluster)
        cluster.sql("CREATE TABLE t AS SELECT 1 AS x")
        last = cluster.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")
        other = bytearray((cluster.data / "pg_wal" / last).read_bytes())
        other[-1] ^= 1
        partial = self.place.path / f"{last}.partial"
        partial.write_bytes(other)
        self.place.own(partial)
        self.run_as_server(cluster, "wal", "push", "--pgdata", cluster.data, partial)
        self.new_timeline(cluster, crash=True)
        end = self.archive_all(cluster)
        self.assertTrue(end.startswith("00000002"))
        self.assertEqual(cluster.sql("SELECT failed_count FROM pg_stat_archiver"), "0", cluster.log_tail())
        self.all_received(cluster)
        self.wait(lambda: not [p for p in self.spool.rglob("*") if ".partial" in p.name])
        self.assertIn(f"another {last}.partial", self.stop(stream).errors)
        self.assertIn(end, self.journal())

    def test_a_server_that_falls_silent_is_given_up(self):
        """A machine or a network that is gone tells nobody. A server that has nothing to say is not gone."""
        cluster = postgres.Cluster.make(self, self.place, wal_sender_timeout="0")
        wire = Wire(cluster.port)
        self.addCleanup(wire.close)
        url = cluster.url.replace(f":{cluster.port}/", f":{wire.port}/")
        stream = self.background(self.salvor.start(self.repository, "wal", "stream", "-d", url, "--create-slot", "--spool",
                                                   self.spool, "--flush", "1s", "--silence", "4s"))
        streaming = "SELECT pid FROM pg_stat_replication WHERE state = 'streaming'"
        self.wait(lambda: cluster.sql(streaming) != "")
        first = cluster.sql(streaming)
        time.sleep(7)
        self.assertEqual(cluster.sql(streaming), first)
        # So that it lets go of the slot.
        cluster.sql("ALTER SYSTEM SET wal_sender_timeout = '4s'")
        cluster.sql("SELECT pg_reload_conf()")
        wire.freeze()
        self.wait(lambda: cluster.sql(streaming) not in ("", first))
        cluster.sql("CREATE TABLE afterwards AS SELECT 1")
        self.all_received(cluster)
        self.stop(stream)
