"""Physical backups from the data directory (P2, V1): the same judges as for those over the protocol."""
import json
import os
import re
import time

import postgres
from postgres_case import PostgresCase, server_binaries, tools_18
from toolbox import RESTIC_NEW, limit


class _DirectoryCase(PostgresCase):
    def back_up_directory(self, cluster, *arguments, expect=0):
        return self.back_up(cluster, "--data-directory", cluster.data, *arguments, expect=expect)

    def told(self, cluster, *arguments):
        """What a run says to people."""
        result = self.salvor(self.repository, "postgres", "backup", "-d", cluster.url, "--data-directory", cluster.data,
                             *arguments)
        return result.text + result.errors

    def taken_over(self, cluster, *arguments):
        """How many files a run says that it did not read again."""
        told = self.told(cluster, *arguments)
        found = re.search(r"(\d+) of (\d+) files are unchanged since backup", told)
        self.assertIsNotNone(found, told)
        return int(found[1])

    def settle(self):
        """Files are taken over when they were two seconds old at the backup before."""
        time.sleep(2.2)

    def manifest(self, snapshot="latest"):
        return json.loads(self.salvor(self.repository, "dump", snapshot, "/backup_manifest").text)


class Directory(_DirectoryCase):
    def test_what_restic_restores_under_load_is_the_cluster(self):
        cluster = postgres.Cluster.make(self, self.place)
        space = self.place.path / "space"
        space.mkdir()
        self.place.own(space)
        cluster.sql(f"CREATE TABLESPACE elsewhere LOCATION '{space}'")
        cluster.sql("CREATE TABLE moved TABLESPACE elsewhere AS SELECT g AS id, md5(g::text) AS text FROM "
                    "generate_series(1, 20000) g")
        cluster.sql("CREATE UNLOGGED TABLE fleeting AS SELECT generate_series(1, 100000) AS id")
        fleeting = cluster.sql("SELECT pg_relation_filepath('fleeting')")
        cluster.pgbench_init(scale=8)
        (cluster.data / "base/pgsql_tmp").mkdir(exist_ok=True)
        (cluster.data / "base/pgsql_tmp/pgsql_tmp1.0").write_text("nobody needs it")
        load = cluster.pgbench_start(60)
        time.sleep(1)
        summary = self.back_up_directory(cluster).message("summary")
        self.assertEqual(summary["error_count"], 0)
        before = cluster.pgbench_sums()[1]
        load.terminate()
        cluster.stop()
        space.rename(self.place.path / "original-space")

        restored = self.restored(tool=self.peer(RESTIC_NEW))
        self.assertFalse((restored.data / "postmaster.pid").exists())
        self.assertFalse((restored.data / "base/pgsql_tmp").exists())
        self.assertFalse((restored.data / fleeting).exists())
        self.assertTrue((restored.data / f"{fleeting}_init").exists())
        restored.verify_backup()
        self.assertEqual(self.put_tablespaces_in_place(restored), [str(space)])
        restored.start()
        self.assertEqual(restored.sql("SELECT count(*), sum(id) FROM moved"), "20000|200010000")
        self.assertEqual(restored.sql("SELECT count(*) FROM fleeting"), "0")
        _, transactions = restored.pgbench_sums()
        self.assertGreater(transactions, 0, "the load ran before the backup ended")
        self.assertLessEqual(transactions, before)
        restored.amcheck()
        restored.stop()
        restored.check_checksums()

    def test_it_holds_what_the_servers_own_backup_holds(self):
        cluster = postgres.Cluster.make(self, self.place, autovacuum="off")
        cluster.pgbench_init(scale=1)
        cluster.sql("CHECKPOINT")
        self.back_up(cluster)
        theirs = self.manifest()
        self.back_up_directory(cluster)
        ours = self.manifest()
        self.assertEqual(sorted(f["Path"] for f in ours["Files"]),
                         sorted(f["Path"] for f in theirs["Files"] if not f["Path"].startswith("pg_wal/")))
        self.assertEqual(list(ours["Files"][0]), list(theirs["Files"][0]))

        def listing(snapshot):
            lines = self.salvor(self.repository, "ls", snapshot).text.splitlines()
            return sorted(line for line in lines if line.startswith("/") and "/pg_wal/0" not in line and
                          "/archive_status/" not in line)
        first, second = (s["id"] for s in sorted(self.salvor.snapshots(self.repository), key=lambda s: s["time"]))
        self.assertEqual(listing(second), listing(first))

    def test_unchanged_files_are_not_read_again_and_changed_ones_are(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.pgbench_init(scale=4)
        cluster.sql("CREATE TABLE still AS SELECT g AS id, 0 AS value FROM generate_series(1, 300000) g; "
                    "CREATE TABLE forged AS SELECT * FROM still")
        cluster.sql("VACUUM FREEZE")
        cluster.sql("CHECKPOINT")
        self.settle()
        self.assertNotIn("unchanged since", self.told(cluster))
        # A hint or a row that changes, a size that does not, and somebody who puts the time back.
        cluster.sql("UPDATE pgbench_branches SET bbalance = bbalance; UPDATE forged SET value = 1 WHERE id = 3; "
                    "DELETE FROM forged WHERE id = 5; CHECKPOINT")
        file = cluster.data / cluster.sql("SELECT pg_relation_filepath('forged')")
        os.utime(file, (1_700_000_000, 1_700_000_000))
        self.assertGreater(self.taken_over(cluster, "--reread", "0"), 500)
        cluster.stop()
        restored = self.restored()
        restored.verify_backup()
        restored.start()
        self.assertEqual(restored.sql("SELECT count(*), sum(value) FROM forged"), "299999|1")
        self.assertEqual(restored.sql("SELECT count(*) FROM still"), "300000")
        restored.amcheck()
        restored.stop()
        restored.check_checksums()

    def test_what_was_just_written_is_read_again(self):
        """Within two seconds a file's times might not tell one write from the next."""
        cluster = postgres.Cluster.make(self, self.place)
        for file in cluster.data.rglob("*"):
            os.utime(file)
        self.back_up_directory(cluster)
        self.assertEqual(self.taken_over(cluster, "--reread", "0"), 0)

    def test_all_is_read_when_asked_for_and_each_file_has_its_turn(self):
        cluster = postgres.Cluster.make(self, self.place)
        self.settle()
        self.back_up_directory(cluster)
        self.assertIn("all files are read: as was asked for", self.told(cluster, "--full"))
        files = self.taken_over(cluster, "--reread", "0")
        some = self.taken_over(cluster, "--reread", "25")
        self.assertLess(some, files * 0.9)
        self.assertGreater(some, files * 0.5)

    @limit(200)
    def test_pages_that_change_meanwhile_raise_no_alarm(self):
        cluster = postgres.Cluster.make(self, self.place, checkpoint_timeout="30s", bgwriter_delay="10ms",
                                        bgwriter_lru_maxpages="1000", bgwriter_lru_multiplier="10",
                                        shared_buffers="4MB")
        cluster.pgbench_init(scale=5)
        load = self.background(cluster.pgbench_start(100, clients=4))
        for _ in range(5):
            self.assertEqual(self.back_up_directory(cluster).message("summary")["error_count"], 0)
        load.terminate()
        cluster.stop()
        restored = self.restored()
        restored.verify_backup()
        restored.start()
        restored.pgbench_sums()
        restored.amcheck()
        restored.stop()
        restored.check_checksums()

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
        self.settle()
        for _ in range(2):  # nothing of a damaged backup is taken over
            result = self.back_up_directory(cluster, expect=3)
            self.assertIn("2 pages with a wrong checksum: block 3, 77 of precious in database postgres",
                          result.errors)
        self.assertIn("pg:damaged", self.salvor.snapshots(self.repository)[0]["tags"])

    def test_only_the_servers_own_directory_is_read(self):
        cluster = postgres.Cluster.make(self, self.place)
        other = postgres.Cluster.make(self, self.place, "other")
        result = self.back_up(cluster, "--data-directory", other.data, expect=1)
        self.assertIn("is not the data directory of the server at", result.errors)
        other.stop()
        result = self.back_up(cluster, "--data-directory", other.data, expect=1)
        self.assertIn("no server runs on", result.errors)
        self.assertEqual(self.salvor.snapshots(self.repository), [])

    def test_the_role_needs_no_superuser_and_is_told_what_it_needs(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.sql("CREATE ROLE backup LOGIN REPLICATION")
        url = cluster.url.replace(f"{postgres.USER}@", "backup@")
        command = ("postgres", "backup", "-d", url, "--data-directory", cluster.data)
        self.assertIn("GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean)",
                      self.salvor(self.repository, *command, expect=22).errors)
        cluster.sql("GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) TO backup")
        self.salvor(self.repository, *command)
        self.restored().verify_backup()

    def test_a_standby_can_be_backed_up(self):
        primary = postgres.Cluster.make(self, self.place)
        primary.pgbench_init(scale=2)
        postgres.run([primary.bin / "pg_basebackup", "-d", primary.url, "-D", self.place.path / "standby", "-R"])
        standby = postgres.Cluster(self, self.place.path / "standby")
        standby.start()
        load = self.background(primary.pgbench_start(60))
        time.sleep(1)
        self.back_up_directory(standby)
        load.terminate()
        standby.stop()
        restored = self.restored()
        restored.verify_backup()
        (restored.data / "standby.signal").unlink()
        restored.start()
        self.assertGreater(restored.pgbench_sums()[1], 0)


class Versions(_DirectoryCase):
    def back_up_and_start(self, version):
        binaries = server_binaries(self, version)
        cluster = postgres.Cluster.make(self, self.place, binaries=binaries)
        cluster.pgbench_init(scale=2)
        load = cluster.pgbench_start(30)
        time.sleep(0.5)
        self.back_up_directory(cluster)
        self.settle()
        self.back_up_directory(cluster)
        load.terminate()
        cluster.stop()
        restored = self.restored(binaries=binaries)
        if version == 18:
            restored.tools = tools_18(self)
        if version == 17:  # whose manifests only its own tools judge, and we have none
            self.assert_as_the_manifest_says(restored.data)
        else:
            restored.verify_backup("-n")
        restored.start()
        self.assertGreater(restored.pgbench_sums()[1], 0)
        self.assertTrue(restored.sql("SHOW server_version").startswith(str(version)))
        # Every page of the largest table is read, and the server compares its checksum.
        restored.sql("SELECT md5(string_agg(a::text, ',')) FROM pgbench_accounts a")
        restored.stop()
        restored.start()  # what was recovered has also been written so that it starts again
        self.assertGreater(restored.pgbench_sums()[1], 0)
        return cluster

    def assert_as_the_manifest_says(self, data):
        listed = {f["Path"]: f["Size"] for f in json.loads((data / "backup_manifest").read_text())["Files"]}
        there = {str(p.relative_to(data)): p.stat().st_size for p in data.rglob("*") if p.is_file()}
        there = {name: size for name, size in there.items() if not name.startswith("pg_wal/") and name != "backup_manifest"}
        self.assertEqual(there, {name: size for name, size in listed.items() if not name.startswith("pg_wal/")})

    def test_13(self):
        self.back_up_and_start(13)

    def test_17(self):
        self.back_up_and_start(17)

    def test_18_and_over_the_protocol_what_has_changed_since(self):
        cluster = self.back_up_and_start(18)
        cluster.start(summarize_wal="on")
        self.back_up_directory(cluster)
        cluster.pgbench_start(2).wait()
        result = self.salvor(self.repository, "postgres", "backup", "-d", cluster.url)
        self.assertIn("served as base", result.text + result.errors)
        cluster.stop()
        restored = self.restored("again", binaries=cluster.bin)
        restored.tools = tools_18(self)
        restored.verify_backup("-n")
        restored.start()
        restored.pgbench_sums()
