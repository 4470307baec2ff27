"""Physical backups of running clusters (P2, V1): what a plain restore of the snapshot gives is judged by PostgreSQL."""
import contextlib
import os
import re
import signal
import threading
import time

import postgres
from postgres_case import PostgresCase, server_binaries
from toolbox import RESTIC_NEW, limit


class Backup(PostgresCase):
    def test_what_restic_restores_under_load_is_the_cluster(self):
        cluster = postgres.Cluster.make(self, self.place)
        space = self.place.path / "space"
        space.mkdir()
        self.place.own(space)
        cluster.sql(f"CREATE TABLESPACE elsewhere LOCATION '{space}'")
        cluster.sql("CREATE TABLE moved TABLESPACE elsewhere AS SELECT g AS id, md5(g::text) AS text FROM "
                    "generate_series(1, 20000) g")
        cluster.pgbench_init(scale=3)
        load = cluster.pgbench_start(60)
        time.sleep(1)
        summary = self.back_up(cluster).message("summary")
        self.assertEqual(summary["error_count"], 0)
        before = cluster.pgbench_sums()[1]
        load.terminate()
        cluster.stop()
        space.rename(self.place.path / "original-space")

        restored = self.restored(tool=self.peer(RESTIC_NEW))
        restored.verify_backup()
        self.assertEqual(self.put_tablespaces_in_place(restored), [str(space)])
        restored.start()
        self.assertEqual(restored.sql("SELECT count(*), sum(id) FROM moved"), "20000|200010000")
        total, transactions = restored.pgbench_sums()
        self.assertGreater(transactions, 0, "the load ran before the backup ended")
        self.assertLessEqual(transactions, before)
        restored.amcheck()
        restored.stop()
        restored.check_checksums()
        self.assertIsNotNone(total)

    def test_the_snapshot_says_what_it_is(self):
        cluster = postgres.Cluster.make(self, self.place)
        self.back_up(cluster, "--tag", "pre-migration", "--host", "db1")
        snapshot = self.salvor.snapshots(self.repository)[0]
        tags = dict(t.removeprefix("pg:").split("=", 1) for t in snapshot["tags"] if "=" in t)
        system = cluster.sql("SELECT system_identifier FROM pg_control_system()")
        self.assertEqual(snapshot["paths"], [f"/postgresql/{system}"])
        self.assertEqual(tags["system"], system)
        self.assertIn("pre-migration", snapshot["tags"])
        self.assertEqual(snapshot["hostname"], "db1")
        label = self.salvor(self.repository, "dump", "latest", "/backup_label").text
        self.assertIn(f"START WAL LOCATION: {tags['start']} ", label)
        self.assertEqual(cluster.sql(f"SELECT '{tags['stop']}'::pg_lsn > '{tags['start']}'"), "t")

    def test_what_cannot_be_read_again_is_told_at_once(self):
        """V1: a disk that takes what it is given and keeps something else."""
        cluster = postgres.Cluster.make(self, self.place)
        cluster.pgbench_init(scale=2)
        good = self.salvor(self.repository, "postgres", "backup", "-d", cluster.url)
        self.assertRegex(good.text + good.errors, r"[1-9]\d* blobs \(.*\) and \d+ trees read again")
        self.repository = self.new_repository()
        before = set((self.repository / "data").rglob("*"))
        ended = threading.Event()

        def lose():
            while not ended.is_set():
                for pack in set((self.repository / "data").rglob("*")) - before:
                    with contextlib.suppress(OSError):
                        # A pack under its own name, of data: the backup itself reads trees again.
                        if len(pack.name) == 64 and pack.is_file() and pack.stat().st_size > 1 << 20:
                            os.chmod(pack, 0o600)
                            with open(pack, "r+b") as file:  # of the right length
                                file.write(bytes(pack.stat().st_size))
                            before.add(pack)
        # Comes after most files: their packs are lost long before the sample is drawn.
        cluster.sql("CREATE TABLE incompressible AS SELECT gen_random_uuid() AS a, gen_random_uuid() AS b FROM "
                    "generate_series(1, 3000000)")
        loser = threading.Thread(target=lose)
        loser.start()
        try:
            result = self.back_up(cluster, expect=20)
        finally:
            ended.set()
            loser.join()
        self.assertIn("a sample of it cannot be read again", result.errors)

    def test_a_second_backup_stores_only_what_changed(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.pgbench_init(scale=5)
        first = self.back_up(cluster).message("summary")
        cluster.sql("CREATE TABLE small AS SELECT 1")
        second = self.back_up(cluster).message("summary")
        # WAL is new each time: a segment of 16 MiB or two.
        self.assertLess(second["data_added"], first["data_added"] / 2)
        self.assertLess(second["data_added"], 45 << 20)

    def test_damaged_pages_are_named_and_mark_the_backup(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.sql("CREATE TABLE precious AS SELECT g AS id, repeat('x', 100) AS text FROM "
                    "generate_series(1, 50000) g")
        cluster.sql("CHECKPOINT")
        file = cluster.sql("SELECT pg_relation_filepath('precious')")
        cluster.stop()
        with open(cluster.data / file, "r+b") as table:
            for block in (3, 77):
                table.seek(block * 8192 + 5000)
                table.write(b"rotten")
        cluster.start()
        result = self.back_up(cluster, expect=3)
        self.assertIn("2 pages with a wrong checksum: block 3, 77 of precious in database postgres",
                      result.errors)
        self.assertIn(file, result.errors)
        snapshot = self.salvor.snapshots(self.repository)[0]
        self.assertIn("pg:damaged", snapshot["tags"])
        # The page is there as it was: the judge finds the same two.
        restored = self.restored()
        restored.start()
        restored.stop()
        self.assertIn("Bad checksums:  2", restored.check_checksums(expect=1))

    def test_pages_that_change_meanwhile_raise_no_alarm(self):
        cluster = postgres.Cluster.make(self, self.place, checkpoint_timeout="30s", bgwriter_delay="10ms",
                                        bgwriter_lru_maxpages="1000", bgwriter_lru_multiplier="10",
                                        shared_buffers="4MB")
        cluster.pgbench_init(scale=5)
        self.background(cluster.pgbench_start(60, clients=4))
        for _ in range(4):
            self.assertEqual(self.back_up(cluster).message("summary")["error_count"], 0)

    def test_a_cluster_without_checksums_is_said_to_be_one(self):
        cluster = postgres.Cluster.make(self, self.place, checksums=False)
        result = self.salvor(self.repository, "postgres", "backup", "-d", cluster.url)
        self.assertIn("no page checksums", result.text + result.errors)
        self.restored().verify_backup()

    def test_wal_of_a_long_backup_is_kept_until_it_was_sent(self):
        cluster = postgres.Cluster.make(self, self.place, max_wal_size="32MB", min_wal_size="32MB",
                                        wal_keep_size="0")
        cluster.pgbench_init(scale=4)
        backup = self.background(self.salvor.start(self.repository, "postgres", "backup", "-d", cluster.url,
                                                   "--max-rate", "20000"))
        self.wait_for_backup(cluster)
        for _ in range(6):  # 6 x 16 MiB of WAL and as many checkpoints, which recycle segments
            cluster.sql("CREATE TABLE IF NOT EXISTS filler (x text); INSERT INTO filler SELECT "
                        "repeat('y', 1000) FROM generate_series(1, 5000); SELECT pg_switch_wal()")
            cluster.sql("CHECKPOINT")
        self.finish(backup)
        cluster.stop()
        restored = self.restored()
        restored.verify_backup()
        restored.start()
        restored.pgbench_sums()

    def test_without_a_slot_to_be_had_the_backup_is_made(self):
        cluster = postgres.Cluster.make(self, self.place, max_replication_slots="0")
        result = self.salvor(self.repository, "postgres", "backup", "-d", cluster.url)
        self.assertIn("no replication slot", result.errors)
        self.restored().verify_backup()

    def test_a_server_that_ends_idle_sessions_does_not_end_a_long_backup(self):
        """One session waits while the other copies."""
        cluster = postgres.Cluster.make(self, self.place, idle_session_timeout="1s")
        self.back_up(cluster, "--max-rate", "5000")
        # A role that gets into no database: its sessions take no SQL.
        cluster.sql("CREATE ROLE backup LOGIN REPLICATION")
        cluster.stop()
        (cluster.data / "pg_hba.conf").write_text("host all postgres 127.0.0.1/32 trust\n"
                                                  "host replication backup 127.0.0.1/32 trust\n")
        cluster.start()
        self.salvor(self.repository, "postgres", "backup", "--max-rate", "5000", "-d",
                    f"postgresql://backup@127.0.0.1:{cluster.port}/postgres?options=-c%20wal_sender_timeout%3D55s")
        self.restored().verify_backup()

    def wait_for_backup(self, cluster):
        until = time.monotonic() + 30
        while cluster.sql("SELECT count(*) FROM pg_stat_progress_basebackup WHERE phase LIKE 'streaming%'") == "0":
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)


class Trouble(PostgresCase):
    def slow_backup(self, cluster):
        backup = self.background(self.salvor.start(self.repository, "postgres", "backup", "-d", cluster.url,
                                                   "--max-rate", "5000"))
        until = time.monotonic() + 30
        while cluster.sql("SELECT coalesce(sum(backup_streamed), 0) > 3000000 FROM "
                          "pg_stat_progress_basebackup") != "t":
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)
        return backup

    def assert_nothing_was_kept(self):
        self.assertEqual(self.salvor.snapshots(self.repository), [])
        self.assertEqual(self.salvor.listed(self.repository, "locks"), [])

    def test_a_connection_that_breaks_leaves_no_snapshot(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.pgbench_init(scale=3)
        backup = self.slow_backup(cluster)
        cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_progress_basebackup")
        result = self.finish(backup, expect=23)
        self.assertIn("administrator command", result.errors)
        self.assert_nothing_was_kept()
        self.back_up(cluster)

    def test_a_server_that_dies_leaves_no_snapshot(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.pgbench_init(scale=3)
        backup = self.slow_backup(cluster)
        cluster.kill()
        self.finish(backup, expect=23)
        self.assert_nothing_was_kept()

    def test_an_interrupted_backup_leaves_nothing_on_the_server(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.pgbench_init(scale=3)
        backup = self.slow_backup(cluster)
        self.assertEqual(cluster.sql("SELECT count(*) FROM pg_replication_slots"), "1")
        backup.send_signal(signal.SIGINT)
        self.finish(backup, expect=130)
        self.assert_nothing_was_kept()
        until = time.monotonic() + 20
        while cluster.sql("SELECT (SELECT count(*) FROM pg_stat_progress_basebackup) + "
                          "(SELECT count(*) FROM pg_replication_slots)") != "0":
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)

    def test_a_role_that_may_not_replicate_is_told_what_to_do(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.sql("CREATE ROLE weak LOGIN PASSWORD 'hunter2'")
        result = self.salvor(self.repository, "postgres", "backup", "-d",
                             f"postgresql+asyncpg://weak:hunter2@127.0.0.1:{cluster.port}/postgres", expect=22)
        self.assertIn("REPLICATION", result.errors)
        self.assertNotIn("hunter2", result.errors + result.text)
        cluster.sql("ALTER ROLE weak REPLICATION")
        self.salvor(self.repository, "postgres", "backup", expect=0, env={
            "DATABASE_URL": f"postgresql+asyncpg://weak:hunter2@127.0.0.1:{cluster.port}/postgres"})

    def test_nobody_there(self):
        result = self.salvor(self.repository, "postgres", "backup", "-d",
                             f"host=127.0.0.1 port={postgres.free_port()} password=hunter2", expect=23)
        self.assertIn("HINT", result.errors)
        self.assertNotIn("hunter2", result.errors)
        result = self.salvor(self.repository, "postgres", "backup", "-d", "postgresql://u:hunter2@[x", expect=64)
        self.assertNotIn("hunter2", result.errors)

    def test_a_backup_of_another_time_is_not_disturbed_by_a_promotion(self):
        """A standby that is promoted during its backup: the server gives up, so no snapshot may remain."""
        primary = postgres.Cluster.make(self, self.place, wal_keep_size="256MB")
        primary.pgbench_init(scale=3)
        standby = self.make_standby(primary)
        backup = self.slow_backup(standby)
        standby.sql("SELECT pg_promote()")
        self.assertNotEqual(self.finish(backup, expect=None).code, 0)
        self.assert_nothing_was_kept()

    def make_standby(self, primary):
        standby = postgres.Cluster(self, self.place.path / "standby", primary.bin)
        postgres.run([primary.bin / "pg_basebackup", "-D", standby.data, "-R", "-c", "fast", "-d", primary.url])
        standby.start()
        return standby

    def test_a_standby_can_be_backed_up(self):
        primary = postgres.Cluster.make(self, self.place, wal_keep_size="256MB")
        primary.pgbench_init(scale=2)
        standby = self.make_standby(primary)
        self.background(primary.pgbench_start(30))
        time.sleep(1)
        self.back_up(standby)
        restored = self.restored()
        restored.verify_backup()
        (restored.data / "standby.signal").unlink()
        restored.configure(primary_conninfo="")
        restored.start()
        self.assertGreater(restored.pgbench_sums()[1], 0)


class Versions(PostgresCase):
    """Every supported server; 15 is what the other tests use."""

    def back_up_and_start(self, version):
        binaries = server_binaries(self, version)
        cluster = postgres.Cluster.make(self, self.place, binaries=binaries)
        space = self.place.path / "space"
        space.mkdir()
        self.place.own(space)
        cluster.sql(f"CREATE TABLESPACE elsewhere LOCATION '{space}'")
        cluster.sql("CREATE TABLE moved TABLESPACE elsewhere AS SELECT generate_series(1, 1000) AS id")
        cluster.pgbench_init(scale=2)
        load = cluster.pgbench_start(30)
        time.sleep(0.5)
        self.back_up(cluster)
        load.terminate()
        cluster.stop()
        space.rename(self.place.path / "original-space")
        restored = self.restored(binaries=binaries)
        if version < 17:  # whose manifests a 15 understands; of their WAL it does not
            restored.verify_backup("-n")
        self.put_tablespaces_in_place(restored)
        restored.start()
        self.assertGreater(restored.pgbench_sums()[1], 0)
        self.assertEqual(restored.sql("SELECT count(*) FROM moved"), "1000")
        self.assertTrue(re.match(str(version), restored.sql("SHOW server_version")))

    def test_13(self):
        self.back_up_and_start(13)

    def test_14(self):
        self.back_up_and_start(14)

    def test_16(self):
        self.back_up_and_start(16)

    def test_17(self):
        self.back_up_and_start(17)

    @limit(180)
    def test_18(self):
        self.back_up_and_start(18)
