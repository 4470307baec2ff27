"""Ways in which backups of PostgreSQL are lost, each tried on real servers: docs/postgres-traps.md lists all of them with the
test that stands for each; those that belong to no other suite are here (P1-P3, R11)."""
import contextlib
import re
import signal
import socket
import subprocess
import threading
import time

import postgres
from test_restore import _RestoreCase
from toolbox import ROOT, TestCase, limit


class _TrapCase(_RestoreCase):
    def wait(self, condition, seconds=60):
        until = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)

    def stream(self, cluster, *arguments):
        return self.background(self.salvor.start(self.repository, "wal", "stream", "-d", cluster.url, "--create-slot", "--spool",
                                                 self.place.path / "spool", "--flush", "1s", *arguments))

    def streaming(self, cluster):
        return cluster.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") != "0"

    def stop(self, process):
        process.send_signal(signal.SIGTERM)
        return self.finish(process)

    def make_standby(self, primary, name="standby", **settings):
        standby = postgres.Cluster(self, self.place.path / name)
        postgres.run([primary.bin / "pg_basebackup", "-D", standby.data, "-R", "-c", "fast", "-d", primary.url])
        standby.configure(**settings)
        standby.start()
        return standby


class Segments(_TrapCase):
    """Segments of another size than 16 MiB: names, positions and the size of a tail depend on it."""

    def size(self, mib):
        cluster = self.archiving_cluster(arguments=(f"--wal-segsize={mib}",), max_wal_size="256MB", min_wal_size="128MB")
        cluster.pgbench_init(scale=1)
        self.back_up(cluster)
        cluster.pgbench_start(1).wait()
        self.archive_all(cluster)
        process = self.stream(cluster)
        self.wait(lambda: self.streaming(cluster))
        cluster.pgbench_start(1).wait()
        expected = cluster.pgbench_sums()
        end = cluster.sql("SELECT pg_current_wal_flush_lsn()")
        self.wait(lambda: cluster.sql(f"SELECT flush_lsn >= '{end}' FROM pg_stat_replication") == "t")
        self.stop(process)
        cluster.kill()
        self.assertTrue(self.verify()["good"])
        restored, _ = self.restore_and_start("restored", "--copy")
        self.assertEqual(restored.pgbench_sums(), expected)
        restored.amcheck()

    @limit(180)
    def test_of_one_mebibyte(self):
        self.size(1)

    @limit(180)
    def test_of_64_mebibytes(self):
        self.size(64)


class Standbys(_TrapCase):
    @limit(180)
    def test_archived_by_primary_and_standby_alike(self):
        """archive_mode = always: each segment comes twice, from two hosts with two sets of notes."""
        primary = self.archiving_cluster(wal_keep_size="256MB")
        primary.pgbench_init(scale=1)
        standby = self.make_standby(primary, archive_mode="always", archive_command=self.command(
            "wal", "push", "--notes", self.place.path / "notes2", "%p"))
        self.back_up(primary)
        for _ in range(3):
            primary.pgbench_start(1, clients=1).wait()
            last = self.archive_all(primary)
        expected = primary.pgbench_sums()
        self.wait(lambda: standby.sql(f"SELECT coalesce(last_archived_wal >= '{last}', false) FROM pg_stat_archiver") == "t")
        for server in (primary, standby):
            self.assertEqual(server.sql("SELECT failed_count FROM pg_stat_archiver"), "0", server.log_tail())
        # Promoted, it archives the broken-off segment as .partial and goes on under a name of its own.
        primary.kill()
        standby.sql("SELECT pg_promote()")
        standby.sql("CREATE TABLE second_life AS SELECT 1 AS x")
        self.archive_all(standby)
        self.assertEqual(standby.sql("SELECT failed_count FROM pg_stat_archiver"), "0", standby.log_tail())
        self.assertTrue(self.verify()["good"])
        restored, _ = self.restore_and_start("restored", "--copy")
        self.assertEqual(restored.pgbench_sums(), expected)
        self.assertEqual(restored.sql("SELECT x FROM second_life"), "1")

    @limit(180)
    def test_a_backup_of_a_standby_becomes_a_server_of_its_own(self):
        """Its files say that it is a standby and whom it follows: restored, it must be neither, and reach for nobody."""
        primary = self.archiving_cluster(wal_keep_size="256MB")
        primary.pgbench_init(scale=1)
        primary.sql("SELECT pg_create_physical_replication_slot('for_standby')")
        standby = self.make_standby(primary, primary_slot_name="for_standby")
        self.back_up(standby)
        primary.sql("CREATE TABLE later AS SELECT 1 AS x")
        self.archive_all(primary)
        standby.stop()
        asked = primary.sql("SELECT count(*) FROM pg_stat_replication")
        self.assertEqual(asked, "0")
        restored, summary = self.restore_and_start("restored", "--copy")
        self.assertEqual(restored.sql("SELECT pg_is_in_recovery(), (SELECT x FROM later)"), "f|1")
        self.assertEqual(summary["timeline"], 2)
        self.assertFalse((restored.data / "standby.signal").exists())
        self.assertEqual(primary.sql("SELECT count(*) FROM pg_stat_replication"), "0")
        self.assertEqual(restored.sql("SELECT count(*) FROM pg_replication_slots"), "0", "a slot would hold its WAL for ever")


class Places(_TrapCase):
    @limit(180)
    def test_wal_elsewhere_and_configuration_elsewhere(self):
        """pg_wal is a link, and as on Debian no configuration is in the data directory."""
        wal = self.place.path / "wal elsewhere"
        cluster = self.archiving_cluster(arguments=("-X", wal))
        cluster.pgbench_init(scale=1)
        cluster.stop()
        etc = self.place.path / "etc"
        etc.mkdir()
        for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
            (cluster.data / name).rename(etc / name)
        self.place.own(etc)
        outside = {"config_file": etc / "postgresql.conf", "hba_file": etc / "pg_hba.conf", "ident_file": etc / "pg_ident.conf",
                   "data_directory": cluster.data}
        cluster.start(**outside)
        self.back_up(cluster)
        self.salvor(self.repository, "postgres", "backup", "-d", cluster.url, "--data-directory", cluster.data)
        self.own()
        self.assertFalse((cluster.data / "backup_label").exists(), "it belongs into the backup, never into the live directory")
        cluster.pgbench_start(1).wait()
        self.archive_all(cluster)
        expected = cluster.pgbench_sums()
        cluster.kill()
        for number, snapshot in enumerate(self.salvor.snapshots(self.repository)):
            target = self.place.path / f"restored{number}"
            self.restore(target, snapshot["id"], "--copy")
            self.assertTrue((target / "pg_wal").is_dir() and not (target / "pg_wal").is_symlink())
            restored = postgres.Cluster(self, target)
            restored.start(**{**outside, "data_directory": target}, archive_mode="off")
            self.assertEqual(restored.pgbench_sums(), expected)
            restored.kill()

    def test_another_cluster_at_the_same_address(self):
        """A new cluster behind the old one's address: its WAL must not be mixed into the old one's."""
        cluster = self.archiving_cluster()
        process = self.stream(cluster)
        self.wait(lambda: self.streaming(cluster))
        cluster.kill()
        other = postgres.Cluster.make(self, self.place, name="other")
        other.stop()
        other.port = cluster.port
        other.start()
        result = self.finish(process, expect=None, timeout=60)
        self.assertNotEqual(result.code, 0)
        self.assertIn("another cluster answers", result.errors)

    def test_limits_of_the_primary_on_a_smaller_machine(self):
        """A primary's max_connections binds whoever replays its WAL with hot_standby: the recovery does without."""
        cluster = self.archiving_cluster(max_connections="300", max_worker_processes="20", max_locks_per_transaction="200")
        cluster.pgbench_init(scale=1)
        self.back_up(cluster)
        self.archive_all(cluster)
        expected = cluster.pgbench_sums()
        cluster.kill()
        target = self.place.path / "small"
        self.restore(target, "--copy", "--set", "max_connections=20", "--set", "max_worker_processes=2", "--set",
                     "max_locks_per_transaction=64")
        restored = postgres.Cluster(self, target)
        restored.start(archive_mode="off", max_connections="20")
        self.assertEqual(restored.pgbench_sums(), expected)


class Leftovers(_TrapCase):
    def test_without_its_label_a_backup_is_not_started(self):
        """Who deletes backup_label gets a server that starts from the wrong place: what we restore always has it."""
        cluster = self.archiving_cluster()
        cluster.pgbench_init(scale=1)
        self.back_up(cluster)
        self.archive_all(cluster)
        target = self.place.path / "files"
        self.restore(target, "--action", "none")
        self.assertIn("START WAL LOCATION", (target / "backup_label").read_text())
        self.assertTrue((target / "recovery.signal").exists())
        for name in ("postmaster.pid", "postmaster.opts", "standby.signal", ".salvor-restore"):
            self.assertFalse((target / name).exists(), name)
        self.assertEqual(subprocess.run(["find", target / "pg_replslot", "-mindepth", "1"], capture_output=True, check=True).stdout, b"")


class LossyWire:
    """Between a client and a server on loopback; drops one whole message of WAL."""

    def __init__(self, server_port, drop):
        self._server_port, self._drop = server_port, drop
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.dropped = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._server_port), 5)
                threading.Thread(target=self._up, args=(client, server), daemon=True).start()
                threading.Thread(target=self._down, args=(server, client), daemon=True).start()

    @staticmethod
    def _up(client, server):
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                server.sendall(data)
        server.close()

    def _down(self, server, client):
        """Message by message: a type, a length, and for CopyData ("d") what is copied: "w" is WAL."""
        with contextlib.suppress(OSError, EOFError):
            source, seen = server.makefile("rb"), 0
            while head := source.read(5):
                body = source.read(int.from_bytes(head[1:], "big") - 4)
                if head[:1] == b"d" and body[:1] == b"w":
                    seen += 1
                    if seen == self._drop:
                        self.dropped += 1
                        continue
                client.sendall(head + body)
        client.close()

    def close(self):
        self._listener.close()


class Protocol(_TrapCase):
    def test_a_message_that_is_missing_ends_the_stream(self):
        cluster = postgres.Cluster.make(self, self.place)
        cluster.sql("CREATE TABLE t (x int)")
        self.back_up(cluster)
        wire = LossyWire(cluster.port, drop=5)
        self.addCleanup(wire.close)
        url = cluster.url.replace(f":{cluster.port}/", f":{wire.port}/") + "?sslmode=disable&gssencmode=disable"
        process = self.background(self.salvor.start(self.repository, "wal", "stream", "-d", url, "--create-slot", "--spool",
                                                    self.place.path / "spool", "--flush", "1s"))
        self.wait(lambda: process.poll() is not None or self.streaming(cluster))
        for n in range(40):
            cluster.sql(f"INSERT INTO t VALUES ({n})")
            if process.poll() is not None:
                break
            time.sleep(0.05)
        result = self.finish(process, expect=None)
        self.assertEqual(wire.dropped, 1)
        self.assertNotEqual(result.code, 0)
        self.assertIn("should follow", result.errors)
        # Nothing behind the gap was called received: the next stream begins before it, and all is there.
        cluster.sql("INSERT INTO t SELECT generate_series(100, 199); SELECT pg_switch_wal()")
        expected = cluster.sql("SELECT count(*), sum(x) FROM t")
        process = self.stream(cluster)
        self.wait(lambda: self.streaming(cluster))
        end = cluster.sql("SELECT pg_current_wal_flush_lsn()")
        self.wait(lambda: cluster.sql(f"SELECT flush_lsn >= '{end}' FROM pg_stat_replication") == "t")
        self.stop(process)
        self.assertTrue(self.verify()["good"])
        cluster.kill()
        restored, _ = self.restore_and_start("restored", "--copy")
        self.assertEqual(restored.sql("SELECT count(*), sum(x) FROM t"), expected)


class Listed(TestCase):
    def test_every_test_that_the_list_names_exists(self):
        text = (ROOT / "docs/postgres-traps.md").read_text(encoding="utf-8")
        named = set(re.findall(r"`(\w+)\.(\w+)\.(test_\w+)`", text))
        self.assertGreater(len(named), 50)
        for module, case, method in sorted(named):
            file = next(path for suite in ("postgres", "protect") if (path := ROOT / f"tests/{suite}/test_{module}.py").exists())
            source = file.read_text(encoding="utf-8")
            cases = dict(re.findall(r"^class (\w+)\((\w+)\):", source, re.M))
            self.assertIn(case, cases, f"{module}.{case}")
            bodies = re.split(r"^class ", source, flags=re.M)
            wanted = [body for body in bodies if body.startswith((f"{case}(", f"{cases[case]}("))]
            self.assertTrue(any(f"def {method}(" in body for body in wanted), f"{module}.{case}.{method}")
        units = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*_test.cc"))
        for suite, name in re.findall(r"`([A-Z]\w+)\.([A-Z]\w+)`", text):
            self.assertTrue(re.search(rf"TEST(_F)?\({suite}, {name}\)", units), f"{suite}.{name}")
        numbers = [int(number) for number in re.findall(r"^\| (\d+) \|", text, re.M)]
        self.assertEqual(numbers, list(range(1, len(numbers) + 1)))
