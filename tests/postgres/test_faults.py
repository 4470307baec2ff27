"""Rounds of faults (P3, R1): server, streamer, backup and network fail at random moments under load; then the cluster is
recovered to a random instant. Every transaction that was committed by then is there, none that was committed later. In every
fifth round a standby is promoted in the middle of the stream and the primary is lost; in every fifth a stored segment is
broken: then nothing is promoted, and with the segment whole again all is there.

What was committed when is the server's own word: pg_xact_commit_timestamp of each row of `ledger`. Instants are chosen in
gaps between commits, as records of two that commit at once may come in either order.
"""
import os
import shutil
import signal
import time

import postgres
from postgres_case import tools_18
from test_restore import _RestoreCase
from toolbox import limit, slow
from wire import Wire

GAP_MICROSECONDS = 4000


class Faults(_RestoreCase):
    def setUp(self):
        super().setUp()
        self.cluster = postgres.Cluster.make(self, self.place, binaries=self.binaries(), track_commit_timestamp="on",
                                             checkpoint_timeout="30s", wal_keep_size="256MB",
                                             **self.more_settings())
        self.cluster.sql("CREATE TABLE ledger (id bigserial PRIMARY KEY, filler text)")
        self.cluster.pgbench_init(scale=1)
        self.wire = Wire(self.cluster.port)
        self.addCleanup(self.wire.close)
        self.url = self.cluster.url.replace(f":{self.cluster.port}/", f":{self.wire.port}/")
        self.script = self.path("insert.sql")
        self.script.write_text("INSERT INTO ledger (filler) VALUES (repeat('x', 500));\n")
        self.spool = self.place.path / "spool"
        self.stream = None

    def binaries(self):
        return postgres.DEBIAN_15

    def more_settings(self):
        return {}

    def start_stream(self):
        self.stream = self.background(self.salvor.start(
            self.repository, "wal", "stream", "-d", self.url, "--create-slot", "--spool", self.spool, "--flush", "1s"))

    def start_backup(self):
        return self.background(self.salvor.start(self.repository, "postgres", "backup", "-d", self.url))

    def load(self):
        return self.cluster.pgbench_start(60, arguments=("-f", str(self.script), "-R", "150"))

    def rows(self):
        return int(self.cluster.sql("SELECT count(*) FROM ledger"))

    def wait(self, condition, seconds=60):
        until = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), until)
            time.sleep(0.05)

    def catch_up(self):
        """Everything that the server has is stored."""
        if self.stream.poll() is not None:
            self.start_stream()
        # A commit that a killed server had not yet told anybody: the stream must be beyond it.
        end = self.cluster.sql("SELECT pg_current_wal_insert_lsn()")
        self.wait(lambda: self.stream.poll() is not None or self.cluster.sql(
            f"SELECT count(*) FROM pg_stat_replication WHERE application_name <> 'x' AND flush_lsn >= '{end}'") != "0")
        if self.stream.poll() is not None:
            self.fail(f"seed {self.seed}: {self.finish(self.stream, expect=None)}")
        self.stream.send_signal(signal.SIGTERM)
        self.finish(self.stream)

    def fault(self, backup):
        kind = self.random.choice(("server", "stream", "backup", "network", "network", "none"))
        if kind == "server":
            self.cluster.kill()
            self.cluster.start()
        elif kind == "stream":
            self.stream.kill()
            self.stream.wait()
            self.start_stream()
        elif kind == "backup" and backup:
            backup.kill()
            backup.wait()
        elif kind == "network":
            self.wire.cut()
            time.sleep(self.random.uniform(0, 0.4))
            self.wire.mend()
        return kind

    def make_standby(self, number):
        standby = postgres.Cluster(self, self.place.path / f"standby{number}", self.cluster.bin)
        postgres.run([self.cluster.bin / "pg_basebackup", "-D", standby.data, "-R", "-c", "fast", "-d", self.cluster.url])
        standby.start()
        # It has no older WAL than its own beginning: what comes before must have been received from the primary.
        start = standby.sql("SELECT redo_lsn FROM pg_control_checkpoint()")
        self.wait(lambda: self.cluster.sql(
            f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'salvor' AND restart_lsn >= '{start}'") != "0")
        if self.random.random() < 0.5:  # the stream follows it already when it is promoted
            self.wire.lead_to(standby.port)
        return standby

    def promote(self, standby):
        """The primary is lost. What only it had is lost with it, the stream may have more than the standby."""
        lost, self.cluster = self.cluster, standby
        lost.kill()
        standby.sql("SELECT pg_promote()")
        self.wire.lead_to(standby.port)
        shutil.rmtree(lost.data)

    def store_and_break(self):
        """A whole segment is stored between a backup and the newest transactions; returns it with a wrong byte in it."""
        self.finish(self.start_backup())
        name = self.cluster.sql("INSERT INTO ledger (filler) VALUES ('in the segment'); SELECT pg_walfile_name(pg_switch_wal())")
        self.cluster.sql("INSERT INTO ledger (filler) VALUES ('behind it')")
        self.catch_up()
        segment = self.journal()[name]
        good = segment.read_bytes()
        at = self.random.randrange(len(good))
        segment.chmod(0o600)  # nobody but root could change it as it was stored
        segment.write_bytes(good[:at] + bytes([good[at] ^ (1 << self.random.randrange(8))]) + good[at + 1:])
        return segment, good

    def assert_not_recovered(self, number):
        target = self.place.path / f"broken{number}"
        result = self.restore(target, "--copy", "--bin", str(self.cluster.bin), expect=None)
        self.assertNotEqual(result.code, 0, f"seed {self.seed}: recovered over a broken segment")
        self.assertIn("not promoted", result.errors)
        self.assertTrue((target / "recovery.signal").exists())
        shutil.rmtree(target)

    def round(self, number):
        self.start_stream()
        standby = self.make_standby(number) if number % 5 == 1 else None
        load = self.load()
        backup, kinds = None, []
        for _ in range(self.random.randint(1, 3)):
            time.sleep(self.random.uniform(0, 0.7))
            if backup is None and self.random.random() < 0.5:
                backup = self.start_backup()
                time.sleep(self.random.uniform(0, 0.6))
            kinds.append(self.fault(backup))
            if load.poll() is not None or kinds[-1] == "server":
                load.wait()
                load = self.load()
        time.sleep(self.random.uniform(0.1, 0.5))
        if standby:
            self.promote(standby)
            kinds.append("promotion")
            load.wait()
            load = self.load()
            time.sleep(self.random.uniform(0.1, 0.5))
        have = self.rows()  # a crowded machine may not have come to it yet
        self.wait(lambda: load.poll() is not None or self.rows() > have + 20)
        load.terminate()
        load.wait()
        if backup:
            backup.wait()
        if number % 5 == 3:
            segment, good = self.store_and_break()
            self.assert_not_recovered(number)
            segment.write_bytes(good)
            kinds.append("broken segment")
        else:
            self.catch_up()
        snapshots = self.salvor.snapshots(self.repository)
        self.recover(number, snapshots, kinds)

    def recover(self, number, snapshots, kinds):
        ledger = [line.split("|") for line in self.cluster.sql(
            "SELECT id, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint FROM ledger ORDER BY "
            "2, 1").splitlines()]
        commits = [(int(when), int(name)) for name, when in ledger]
        first = min(tag.removeprefix("pg:stop-time=") for s in snapshots for tag in s["tags"] if tag.startswith("pg:stop-time="))
        first = int(float(self.cluster.sql(f"SELECT extract(epoch FROM '{first}'::timestamptz)")) * 1000000)
        places = [i for i in range(len(commits) - 1)
                  if commits[i][0] > first and commits[i + 1][0] - commits[i][0] > GAP_MICROSECONDS]
        self.assertTrue(places)
        # Mostly in what happened in this round.
        place = places[-1 - min(int(self.random.expovariate(1 / 80)), len(places) - 1)]
        instant = (commits[place][0] + commits[place + 1][0]) // 2
        text = self.cluster.sql(f"SELECT to_timestamp({instant} / 1000000.0) AT TIME ZONE 'UTC'") + "Z"
        target = self.place.path / f"recovered{number}"
        self.restore(target, "--copy", "--to-time", text, "--bin", str(self.cluster.bin))
        recovered = postgres.Cluster(self, target, self.cluster.bin)
        recovered.start(archive_mode="off")
        there = {int(line) for line in recovered.sql("SELECT id FROM ledger").splitlines()}
        expected = {name for when, name in commits if when <= instant}
        what = f"round {number}, seed {self.seed}, {kinds}, to {text}"
        self.assertEqual(sorted(expected - there), [], f"lost: {what}")
        self.assertEqual(sorted(there - expected), [], f"too late: {what}")
        recovered.pgbench_sums()
        recovered.kill()
        shutil.rmtree(target)
        recovered.log.unlink()

    def rounds(self, count):
        self.start_stream()
        self.wait(lambda: self.cluster.sql("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") != "0")
        self.finish(self.start_backup())
        self.stream.kill()
        self.stream.wait()
        for number in range(count):
            begun = time.monotonic()
            self.round(number)
            if "SALVOR_ROUNDS" in os.environ:
                print(f"round {number}: {time.monotonic() - begun:.1f} s", flush=True)
        self.salvor(self.repository, "unlock")  # backups that were killed have left their locks
        self.salvor.check(self.repository)


class Rounds(Faults):
    @limit(240)
    def test_five_rounds(self):
        self.rounds(5)

    @slow
    @limit(5400)
    def test_two_hundred_rounds(self):
        self.rounds(int(os.environ.get("SALVOR_ROUNDS", "200")))


class RoundsOfIncremental(Faults):
    """The same with 18, whose backups are made of what has changed."""
    def binaries(self):
        return tools_18(self)

    def more_settings(self):
        return {"summarize_wal": "on"}

    @limit(240)
    def test_five_rounds(self):
        self.rounds(5)
        self.finish(self.start_backup())  # whatever became of those that the faults met
        newest = max(self.salvor.snapshots(self.repository), key=lambda snapshot: snapshot["time"])
        self.assertTrue(any(tag.startswith("pg:since=") for tag in newest["tags"]), newest["tags"])
        self.salvor(self.repository, "unlock")  # backups that were killed have left their locks
        self.salvor.check(self.repository)

    @slow
    @limit(14400)
    def test_two_hundred_rounds(self):
        self.rounds(int(os.environ.get("SALVOR_ROUNDS", "200")))
