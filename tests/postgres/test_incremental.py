"""Synthetic fulls (P2, P3): BASE_BACKUP ... INCREMENTAL of 17 and later, made into whole snapshots at once.

Every one of them is restored by restic, judged by pg_verifybackup (the checksums of rebuilt files are worked out from
the old ones and the changed blocks), started, and asked for pgbench's sums.
"""
import time

import postgres
from postgres_case import PostgresCase, server_binaries, tools_18
from toolbox import RESTIC_NEW, limit


class Incremental(PostgresCase):
    JUDGES_18 = True  # pg_verifybackup and pg_checksums of 18 know this version's files

    def setUp(self):
        super().setUp()
        self.tools = tools_18(self)
        self.binaries = self.server()

    def server(self):
        return self.tools

    def cluster(self, **settings):
        return postgres.Cluster.make(self, self.place, binaries=self.binaries,
                                     **{"summarize_wal": "on", "autovacuum": "off", **settings})

    def take(self, cluster, *arguments, expect=0):
        """A backup; returns its output and summary."""
        result = self.salvor(self.repository, "postgres", "backup", "-d", cluster.url, *arguments, expect=expect)
        return result.text + result.errors

    def tags(self):
        return self.salvor.snapshots(self.repository)[-1]["tags"]

    def assert_incremental(self, yes=True):
        self.assertEqual(any(tag.startswith("pg:since=") for tag in self.tags()), yes, self.tags())

    def judge(self, name="restored", **settings):
        restored = self.restored(name, tool=self.peer(RESTIC_NEW), binaries=self.binaries)
        restored.tools = self.tools
        if self.JUDGES_18:
            restored.verify_backup()
        restored.start(**settings)
        return restored

    def check_pages(self, stopped):
        if self.JUDGES_18:
            stopped.check_checksums()

    def test_a_chain_of_backups_under_load_is_a_chain_of_whole_backups(self):
        cluster = self.cluster(autovacuum="on")
        cluster.pgbench_init(scale=4)
        self.take(cluster)
        self.assert_incremental(False)
        for round_number in range(3):
            load = cluster.pgbench_start(30)
            time.sleep(1.5)
            self.take(cluster)
            self.assert_incremental()
            before = cluster.pgbench_sums()[1]
            load.terminate()
            load.wait()
            restored = self.judge(f"restored{round_number}")
            self.assertLessEqual(restored.pgbench_sums()[1], before)
            self.assertGreater(restored.pgbench_sums()[1], 0)
            restored.amcheck()
            restored.stop()
            self.check_pages(restored)
        self.salvor.check(self.repository, "--read-data")


    def test_whatever_happens_to_relations_in_between(self):
        """Truncated, shrunk, grown, dropped, rewritten, made anew, emptied, unlogged and logged again."""
        cluster = self.cluster()
        for name in ("truncated", "shrunk", "grown", "gone", "rewritten", "emptied", "same", "turned"):
            cluster.sql(f"CREATE TABLE {name} AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 30000) g")
        cluster.sql("CREATE TABLE empty (id int)")
        cluster.sql("VACUUM")
        self.take(cluster)
        for statement in ("TRUNCATE truncated", "INSERT INTO truncated VALUES (1, 'x')",
                          "DELETE FROM shrunk WHERE id > 100", "VACUUM (TRUNCATE) shrunk",
                          "INSERT INTO grown SELECT g, md5(g::text) FROM generate_series(1, 90000) g",
                          "DROP TABLE gone", "VACUUM FULL rewritten", "TRUNCATE emptied",
                          "CREATE INDEX ON same (text)", "UPDATE same SET text = 'y' WHERE id % 997 = 0",
                          "ALTER TABLE turned SET UNLOGGED", "ALTER TABLE turned SET LOGGED",
                          "INSERT INTO empty VALUES (1)", "CREATE TABLE made AS SELECT 1 AS id"):
            cluster.sql(statement)
        cluster.sql("CREATE DATABASE second")
        cluster.sql("CREATE TABLE there AS SELECT generate_series(1, 1000) AS id", "second")
        self.take(cluster)
        self.assert_incremental()
        cluster.sql("BEGIN; CREATE TABLE late (id int); TRUNCATE late; INSERT INTO late SELECT "
                    "generate_series(1, 5000); COMMIT; DELETE FROM grown WHERE id % 2 = 0")
        cluster.sql("VACUUM grown")
        self.take(cluster)
        self.assert_incremental()
        restored = self.judge()
        for database in ("postgres", "second"):
            self.assertEqual(self.contents(restored, database), self.contents(cluster, database))
        restored.amcheck()
        restored.stop()
        self.check_pages(restored)

    def test_a_visibility_map_is_never_older_than_its_table(self):
        """Servers before 17.11 and 18.5 leave its changes out: an index-only scan then finds what was deleted."""
        cluster = self.cluster()
        cluster.sql("CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 200000) g; CREATE INDEX ON t (id)")
        cluster.sql("VACUUM t")
        self.take(cluster, "--reread", "0")
        cluster.sql("DELETE FROM t WHERE id BETWEEN 1000 AND 150000")
        self.take(cluster, "--reread", "0")
        self.assert_incremental()
        restored = self.judge()
        only = "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM t WHERE id > 0"
        self.assertIn("Index Only Scan", restored.sql(only.replace("SELECT", "EXPLAIN SELECT")))
        self.assertEqual(restored.sql(only), "50999")
        restored.sql("VACUUM t")
        self.assertEqual(restored.sql(only), "50999")

    def test_files_that_are_not_read_can_rot_unseen_only_until_it_is_their_turn(self):
        cluster = self.cluster()
        cluster.sql("CREATE TABLE precious AS SELECT g AS id, repeat('x', 100) AS text FROM generate_series(1, 50000) g")
        cluster.sql("VACUUM precious")
        self.take(cluster)
        file = cluster.sql("SELECT pg_relation_filepath('precious')")
        cluster.stop()
        with open(cluster.data / file, "r+b") as table:
            table.seek(77 * 8192 + 5000)
            table.write(b"rotten")
        cluster.start()
        # Not read, and so not taken over either: the backup has the page as it was.
        self.take(cluster, "--reread", "0")
        self.assert_incremental()
        restored = self.judge()
        self.assertEqual(restored.sql("SELECT count(*) FROM precious WHERE text = repeat('x', 100)"), "50000")
        # In a round of all turns it is found once.
        found = 0
        for _ in range(4):
            result = self.salvor(self.repository, "postgres", "backup", "-d", cluster.url, "--reread", "25",
                                 expect=None)
            self.assertIn(result.code, (0, 3))
            found += "block 77 of precious" in result.text + result.errors
            if result.code == 3:
                self.assertIn("pg:damaged", self.tags())
                break
        self.assertEqual(found, 1)
        # A damaged backup is not built upon.
        self.assertIn("holds damaged pages", self.take(cluster, expect=3))
        self.assert_incremental(False)

    def test_what_makes_it_a_full_backup_is_said(self):
        cluster = self.cluster()
        self.take(cluster)
        self.assertIn("as was asked for", self.take(cluster, "--full"))
        cluster.sql("ALTER SYSTEM SET summarize_wal = off")
        cluster.sql("SELECT pg_reload_conf()")
        self.wait_until(lambda: cluster.sql("SHOW summarize_wal") == "off")
        self.assertIn("a full backup: summarize_wal is off", self.take(cluster))
        self.assert_incremental(False)
        # Summaries of what happened meanwhile are missing for good.
        cluster.sql("CREATE TABLE meanwhile AS SELECT generate_series(1, 1000) AS id; SELECT pg_switch_wal(); CHECKPOINT")
        cluster.stop()
        for summary in (cluster.data / "pg_wal/summaries").iterdir():
            summary.unlink()
        cluster.start(summarize_wal="on")
        cluster.sql("SELECT pg_switch_wal(); CHECKPOINT")
        text = self.take(cluster)
        if "a full backup: " in text:  # unless the server could still summarize the WAL that it has
            self.assertIn("summar", text)
        self.judge()

    def test_after_a_promotion_the_next_backup_is_full(self):
        primary = self.cluster(wal_keep_size="256MB")
        primary.pgbench_init(scale=1)
        standby = postgres.Cluster(self, self.place.path / "standby", self.binaries)
        postgres.run([self.tools / "pg_basebackup", "-D", standby.data, "-R", "-c", "fast", "-d", primary.url])
        standby.start()
        self.take(primary)
        standby.sql("SELECT pg_promote()")
        standby.sql("CREATE TABLE promoted AS SELECT 1 AS id")
        self.assertIn("the timeline has changed", self.take(standby))
        self.assert_incremental(False)
        primary.stop()
        standby.sql("UPDATE pgbench_accounts SET abalance = abalance WHERE aid % 100 = 0")
        self.take(standby)
        self.assert_incremental()
        restored = self.judge()
        self.assertEqual(restored.sql("SELECT count(*) FROM promoted"), "1")
        restored.amcheck()

    def test_the_newest_backup_that_is_left_serves(self):
        cluster = self.cluster()
        cluster.pgbench_init(scale=1)
        self.take(cluster)
        first = self.salvor.snapshots(self.repository)[-1]["short_id"]
        cluster.sql("UPDATE pgbench_accounts SET abalance = 1 WHERE aid % 3 = 0")
        self.take(cluster)
        second = self.salvor.snapshots(self.repository)[-1]["short_id"]
        self.salvor(self.repository, "forget", second, "--prune")
        self.take(cluster)
        self.assertIn(f"pg:since={first}", self.tags())
        restored = self.judge()
        self.assertEqual(restored.sql("SELECT sum(abalance) FROM pgbench_accounts"), "33333")
        self.salvor(self.repository, "forget", first, "--prune")
        restored.stop()
        self.judge("again")

    def test_a_repository_that_lost_data_gets_a_full_backup(self):
        cluster = self.cluster()
        cluster.sql("CREATE TABLE bulky AS SELECT g AS id, (SELECT string_agg(md5(g * 100 + h || ''), '') FROM "
                    "generate_series(1, 60) h) AS text FROM generate_series(1, 20000) g")
        cluster.sql("VACUUM bulky")  # or the first to look at the rows changes every page
        self.take(cluster)
        # The largest first: they hold data, not trees.
        packs = sorted((self.repository / "data").glob("*/*"), key=lambda path: -path.stat().st_size)
        for pack in packs:
            whole = pack.read_bytes()
            pack.chmod(0o600)
            with open(pack, "r+b") as file:
                for place in range(0, len(whole) - 4096, 4096):
                    file.seek(place)
                    file.write(b"broken")
            needed = [self.salvor(self.repository, "dump", "latest", path, expect=None).code
                      for path in ("/backup_manifest", "/global/pg_control")]
            if needed == [0, 0]:
                break
            pack.write_bytes(whole)
        cluster.sql("UPDATE bulky SET id = id + 1 WHERE id % 100 = 0")
        self.assertIn("beginning again with a full backup", self.take(cluster, "--reread", "0"))
        self.assert_incremental(False)

    def test_little_is_added_after_few_transactions(self):
        cluster = self.cluster()
        cluster.pgbench_init(scale=10)
        self.take(cluster)
        cluster.sql("CHECKPOINT")
        cluster.sql("UPDATE pgbench_accounts SET abalance = 1 WHERE aid % 10000 = 0")
        result = self.salvor(self.repository, "postgres", "backup", "--json", "-d", cluster.url, "--reread", "0")
        summary = result.message("summary")
        # 100 pages in 100 cells of 64 KiB at most, trees, manifest, and a segment of WAL that is nearly empty.
        self.assertLess(summary["data_added_packed"], 100 * 65536)

    def contents(self, cluster, database):
        names = cluster.sql("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = "
                            "'public'::regnamespace ORDER BY 1", database).split()
        return {name: cluster.sql(f"SELECT count(*), md5(string_agg(t::text, ' ' ORDER BY t::text)) FROM {name} t",
                                  database) for name in names}

    def wait_until(self, condition):
        until = time.monotonic() + 30
        while not condition():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)


class Older(Incremental):
    """17.10, whose summaries forget visibility maps."""
    JUDGES_18 = False

    def server(self):
        return server_binaries(self, 17)
