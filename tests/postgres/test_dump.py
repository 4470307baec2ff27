"""Logical backups over a plain connection (P1, P4): judged by pg_dump, psql and restic, without Salvor on the way back."""
import os
import pathlib
import shutil
import signal
import subprocess
import time

import postgres
from toolbox import RESTIC_NEW, RESTIC_OLD, ROOT, TestCase, limit

EVERYTHING = ROOT / "tests/data/postgres/everything.sql"


def server_binaries(case, version):
    found = subprocess.run([ROOT / "tests/servers/postgres", str(version)], capture_output=True, text=True,
                           check=False)
    if found.returncode != 0:
        case.skipTest(f"PostgreSQL {version} cannot be had: {found.stderr}")
    return pathlib.Path(found.stdout.splitlines()[-1])


def clients_18(case):
    found = subprocess.run([ROOT / "tests/servers/postgres-clients"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        case.skipTest(f"PostgreSQL 18's programs cannot be had: {found.stderr}")
    return pathlib.Path(found.stdout.splitlines()[-1])


class LogicalCase(TestCase):
    def setUp(self):
        super().setUp()
        self.place = postgres.Place(self)
        self.repository = self.new_repository()

    def cluster(self, **settings):
        return postgres.Cluster.make(self, self.place, **settings)

    @staticmethod
    def url(cluster, database="postgres", user=postgres.USER):
        return f"postgresql://{user}@127.0.0.1:{cluster.port}/{database}"

    def dump(self, cluster, *arguments, database="postgres", user=postgres.USER, **options):
        return self.salvor(self.repository, "postgres", "dump", "--json", "-d", self.url(cluster, database, user),
                           *arguments, **options)

    def psql_file(self, cluster, file, database="postgres", folder="/", binaries=postgres.DEBIAN_15):
        postgres.subprocess.run(
            [binaries / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-d",
             self.url(cluster, database), "-f", file], cwd=folder, check=True, stdout=subprocess.DEVNULL)

    def plain_dump(self, cluster, database, *arguments, binaries=postgres.DEBIAN_15):
        """What pg_dump says of a database, without what differs each time."""
        text = postgres.run([binaries / "pg_dump", "-d", self.url(cluster, database), *arguments])
        return [line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]

    def assert_same_database(self, cluster, one, other, *arguments, binaries=postgres.DEBIAN_15):
        before = self.plain_dump(cluster, one, *arguments, binaries=binaries)
        after = self.plain_dump(cluster, other, *arguments, binaries=binaries)
        differing = [(a, b) for a, b in zip(before, after) if a != b]
        self.assertEqual(differing[:5], [])
        self.assertEqual(len(before), len(after))

    def restore_by_hand(self, cluster, database, tool, binaries=postgres.DEBIAN_15):
        """What docs/postgres-logical.md tells somebody to do who has only restic and psql."""
        folder = self.path("restored-" + database)
        tool.restore(self.repository, folder, "latest")
        cluster.sql(f'CREATE DATABASE "{database}"')
        self.psql_file(cluster, "restore.sql", database, folder, binaries)

    def manifest(self, snapshot="latest"):
        return self.salvor(self.repository, "dump", snapshot, "/manifest.json").json()

    def rows(self, manifest=None):
        return {f"{t['schema']}.{t['name']}": t["rows"] for t in (manifest or self.manifest())["tables"]}

    def assert_nothing_was_kept(self):
        self.assertEqual(self.salvor.snapshots(self.repository), [])
        self.salvor(self.repository, "check")

    def wait_for_sql(self, cluster, condition, seconds=20):
        until = time.monotonic() + seconds
        while cluster.sql(f"SELECT {condition}") != "t":
            self.assertLess(time.monotonic(), until, condition)
            time.sleep(0.05)


class Content(LogicalCase):
    def test_every_type_and_object_comes_back_with_restic_and_psql_alone(self):
        cluster = self.cluster()
        self.psql_file(cluster, EVERYTHING)
        cluster.sql("ALTER DATABASE postgres SET work_mem = '7MB'")
        self.dump(cluster, "-j", "3")
        self.restore_by_hand(cluster, "back", self.peer(RESTIC_NEW))
        self.assert_same_database(cluster, "postgres", "back")
        self.assertEqual(cluster.sql("SELECT n FROM m1", "back"), "500")
        self.assertEqual(cluster.sql("SELECT md5(lo_get(4242)), lo_get(4243) = ''", "back"),
                         cluster.sql("SELECT md5(lo_get(4242)), lo_get(4243) = ''"))
        self.assertIn("work_mem", self.salvor(self.repository, "dump", "latest", "/schema/database.sql").text)
        self.assertIn("CREATE ROLE postgres", self.salvor(self.repository, "dump", "latest",
                                                          "/schema/roles.sql").text)

    def test_an_old_encoding(self):
        cluster = self.cluster()
        cluster.sql("CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
        cluster.sql(r"""CREATE TABLE U&"gr\00F6\00DFe" (U&"stra\00DFe" text); INSERT INTO U&"gr\00F6\00DFe" VALUES (U&'Fu\00DF')""",
                    "latin")
        self.dump(cluster, database="latin")
        folder = self.path("out")
        self.peer(RESTIC_OLD).restore(self.repository, folder, "latest")
        self.assertEqual((folder / "data/public.größe/000000.copy").read_bytes(), "Fuß\n".encode("latin1"))
        cluster.sql("CREATE DATABASE back TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'")
        self.psql_file(cluster, "restore.sql", "back", folder)
        self.assert_same_database(cluster, "latin", "back")

    def test_settings_of_extensions_are_kept_and_their_own_rows_are_not(self):
        cluster = self.cluster()
        place = pathlib.Path("/usr/share/postgresql/15/extension")
        if not os.access(place, os.W_OK):
            self.skipTest("needs root to install an extension")
        name = f"salvor_test_{os.getpid()}"
        self.addCleanup(lambda: [f.unlink() for f in place.glob(name + "*")])
        (place / f"{name}.control").write_text("default_version = '1'\n")
        (place / f"{name}--1.sql").write_text(
            "CREATE TABLE settings (k text, own bool); INSERT INTO settings VALUES ('built in', false);\n"
            "CREATE TABLE internal (k text); INSERT INTO internal VALUES ('x');\n"
            "SELECT pg_catalog.pg_extension_config_dump('settings', 'WHERE own');\n")
        cluster.sql(f"CREATE EXTENSION {name}; INSERT INTO settings VALUES ('mine', true)")
        self.dump(cluster)
        self.assertEqual(self.rows(), {"public.settings": 1})
        self.restore_by_hand(cluster, "back", self.salvor)
        self.assertEqual(cluster.sql("SELECT string_agg(k, ',' ORDER BY k) FROM settings", "back"), "built in,mine")

    def test_all_connections_see_one_instant_under_load(self):
        cluster = self.cluster()
        cluster.pgbench_init(scale=3)
        self.background(cluster.pgbench_start(60, clients=3))
        time.sleep(1)
        self.dump(cluster, "-j", "4", "--part-size", "4M")
        parts = {t["name"]: len(t["parts"]) for t in self.manifest()["tables"]}
        self.assertGreater(parts["pgbench_accounts"], 5, "one table was read by several connections")
        self.restore_by_hand(cluster, "back", self.salvor)
        total, transactions = cluster.pgbench_sums("back")
        self.assertGreater(transactions, 0)
        self.assertLess(transactions, cluster.pgbench_sums()[1])
        self.assertIsNotNone(total)

    def test_parts_hold_every_row_once(self):
        cluster = self.cluster()
        cluster.sql("CREATE TABLE wide AS SELECT g AS id, md5(g::text) AS t FROM generate_series(1, 60000) g")
        cluster.sql("CREATE TABLE toasted AS SELECT g AS id, string_agg(md5(g::text || i::text), '') AS t FROM "
                    "generate_series(1, 300) g, generate_series(1, 500) i GROUP BY g")
        self.dump(cluster, "--part-size", "1M", "-j", "3")
        parts = {t["name"]: len(t["parts"]) for t in self.manifest()["tables"]}
        self.assertGreater(parts["wide"], 1)
        self.assertGreater(parts["toasted"], 1, "size counts what is stored out of line")
        self.restore_by_hand(cluster, "back", self.salvor)
        self.assert_same_database(cluster, "postgres", "back")

    def test_chosen_tables_and_schemas(self):
        cluster = self.cluster()
        cluster.sql("CREATE SCHEMA a; CREATE SCHEMA b; CREATE TABLE a.x AS SELECT 1; CREATE TABLE a.y_log AS SELECT 1; "
                    "CREATE TABLE b.x AS SELECT 1; CREATE TABLE \"a.x\" AS SELECT 1; CREATE TABLE b.y AS SELECT 1")
        for arguments, expected in [
                (["--table", "x"], {"a.x", "b.x"}),
                (["--table", "a.*", "--exclude-table", "*_log"], {"a.x"}),
                (["--table", '"a.x"'], {"public.a.x"}),
                (["--schema", "b"], {"b.x", "b.y"}),
                (["--exclude-schema", "a", "--exclude-schema", "b"], {"public.a.x"})]:
            self.dump(cluster, *arguments)
            self.assertEqual(set(self.rows()), expected, arguments)
            tables = self.salvor(self.repository, "dump", "latest", "/schema/pre-data.sql").text
            self.assertEqual(tables.count("CREATE TABLE"), len(expected), arguments)
        result = self.dump(cluster, "--table", "nonsense", expect=24)
        self.assertIn("no table", result.errors)

    def test_the_snapshot_says_what_it_is(self):
        cluster = self.cluster()
        self.dump(cluster, "--label", "pre-migration", "--keep", "7d", "--tag", "x", "--server-name", "prod")
        snapshot = self.salvor.snapshots(self.repository)[0]
        self.assertEqual(snapshot["paths"], ["/postgresql-dump/prod/postgres"])
        for tag in ("postgresql-dump", "pg:database=postgres", "salvor:label=pre-migration", "x"):
            self.assertIn(tag, snapshot["tags"])


class Labels(LogicalCase):
    def test_a_label_is_kept_by_policies_as_long_as_promised(self):
        cluster = self.cluster()
        self.dump(cluster, "--label", "pre-migration", "--keep", "7d")
        self.dump(cluster)
        self.dump(cluster)
        kept = self.salvor(self.repository, "forget", "--keep-last", "1", "--json").json()[0]
        self.assertEqual((len(kept["keep"]), len(kept["remove"])), (2, 1))
        self.assertIn("to be kept until a date", str(kept["reasons"]))
        if shutil.which("faketime"):
            week = ("faketime", "-f", "+8d")
            gone = self.salvor(self.repository, "forget", "--keep-last", "1", "--json", prefix=week).json()[0]
            self.assertEqual([len(gone["keep"]), len(gone["remove"])], [1, 1])

    def test_restic_sees_label_and_promise_as_tags(self):
        cluster = self.cluster()
        self.dump(cluster, "--label", "x", "--keep", "forever")
        self.dump(cluster)
        restic = self.peer(RESTIC_NEW)
        self.assertIn("salvor:keep-until=forever", restic.snapshots(self.repository)[0]["tags"])
        restic(self.repository, "forget", "--keep-last", "1", "--keep-tag", "salvor:label=x")
        self.assertEqual(len(self.salvor.snapshots(self.repository)), 2)


class Deduplication(LogicalCase):
    def change_and_dump(self, change, *arguments):
        cluster = self.cluster()
        cluster.pgbench_init(scale=4)
        cluster.sql("CREATE EXTENSION IF NOT EXISTS pgcrypto; CREATE TABLE t AS SELECT g AS id, "
                    "encode(gen_random_bytes(60), 'hex') AS text FROM generate_series(1, 300000) g; "
                    "ALTER TABLE t ADD PRIMARY KEY (id); DROP TABLE pgbench_accounts")
        first = self.dump(cluster, *arguments).message("summary")
        cluster.sql(change)
        return first["data_added"], self.dump(cluster, *arguments).message("summary")["data_added"]

    def test_nothing_changed_adds_next_to_nothing(self):
        first, second = self.change_and_dump("SELECT 1")
        self.assertLess(second, first / 100)

    def test_new_rows_and_changed_recent_rows_add_about_themselves(self):
        first, second = self.change_and_dump("UPDATE t SET text = reverse(text) WHERE id > 297000")
        self.assertLess(second, first * 0.2)

    def test_sorted_by_key_the_order_survives_a_rewrite_of_the_table(self):
        first, second = self.change_and_dump(
            "CREATE TABLE u AS SELECT * FROM t ORDER BY text; TRUNCATE t; INSERT INTO t SELECT * FROM u; DROP TABLE u",
            "--order", "key")
        self.assertLess(second, first / 50)


class Trouble(LogicalCase):
    def test_rights_are_named_before_anything_is_read(self):
        cluster = self.cluster()
        cluster.sql("CREATE TABLE open (id int); CREATE TABLE closed1 (id int); CREATE SCHEMA s; CREATE TABLE "
                    "s.closed2 (id int); CREATE ROLE backup LOGIN; GRANT SELECT ON open TO backup")
        result = self.dump(cluster, user="backup", expect=22)
        self.assertIn("public.closed1", result.errors)
        self.assertIn("s.closed2", result.errors)
        self.assertNotIn("public.open", result.errors)
        self.assertIn('GRANT pg_read_all_data TO \\"backup\\"', result.errors)
        self.assert_nothing_was_kept()

    def test_the_documented_grants_are_enough_for_everything(self):
        cluster = self.cluster()
        self.psql_file(cluster, EVERYTHING)
        cluster.sql("CREATE ROLE backup LOGIN; GRANT pg_read_all_data TO backup")
        result = self.dump(cluster, user="backup", expect=22)
        self.assertIn("row level security hides rows of public.secret", result.errors)
        self.assertIn("BYPASSRLS", result.errors)
        cluster.sql("ALTER ROLE backup BYPASSRLS")
        self.dump(cluster, user="backup")
        self.restore_by_hand(cluster, "back", self.salvor)
        self.assert_same_database(cluster, "postgres", "back")

    def test_large_objects_of_a_role_that_may_read_each_of_them(self):
        cluster = self.cluster()
        cluster.sql("CREATE ROLE app LOGIN")
        cluster.sql("CREATE DATABASE app OWNER app")
        cluster.sql("SELECT lo_from_bytea(5000, decode(repeat('ab', 600000), 'hex')); SELECT lo_create(5001); "
                    "GRANT SELECT ON LARGE OBJECT 5000 TO app", "app")
        result = self.dump(cluster, database="app", user="app", expect=22)
        self.assertIn("large object 5001", result.errors)
        cluster.sql("ALTER LARGE OBJECT 5001 OWNER TO app", "app")
        self.dump(cluster, database="app", user="app")
        self.restore_by_hand(cluster, "back", self.salvor)
        self.assertEqual(cluster.sql("SELECT md5(lo_get(5000))", "back"), cluster.sql("SELECT md5(lo_get(5000))", "app"))

    def slow_dump(self, cluster):
        """A backup that is in the middle of its data: its uploads are slow."""
        cluster.sql("CREATE EXTENSION IF NOT EXISTS pgcrypto; DROP TABLE IF EXISTS big; CREATE TABLE big AS SELECT g, "
                    "encode(gen_random_bytes(64), 'hex') FROM generate_series(1, 200000) g")
        dump = self.background(self.salvor.start(self.repository, "postgres", "dump", "-d", self.url(cluster),
                                                 "--limit-upload", "300"))
        self.wait_for_sql(cluster, "EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'salvor' AND "
                                   "query LIKE 'COPY%' AND state = 'active')")
        return dump

    @limit(180)
    def test_a_connection_that_is_ended_leaves_no_snapshot(self):
        cluster = self.cluster()
        for victim in ("query LIKE 'COPY%'", "query NOT LIKE 'COPY%'", "true"):
            dump = self.slow_dump(cluster)
            cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'salvor' "
                        f"AND {victim}")
            self.assertRegex(self.finish(dump, expect=23).errors, "administrator command|connection to PostgreSQL broke")
            self.assert_nothing_was_kept()
        cluster.sql("DROP TABLE big")
        self.dump(cluster)

    def test_an_interrupted_backup_leaves_nothing_on_the_server(self):
        cluster = self.cluster()
        for how in (signal.SIGINT, signal.SIGKILL):
            dump = self.slow_dump(cluster)
            dump.send_signal(how)
            dump.wait(60)
            self.wait_for_sql(cluster, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'salvor')")
        self.salvor(self.repository, "unlock", "--remove-all")
        self.assert_nothing_was_kept()

    def test_a_table_that_is_being_altered_is_waited_for_and_no_longer(self):
        cluster = self.cluster()
        cluster.sql("CREATE TABLE busy (id int)")
        holder = self.background(subprocess.Popen(
            [postgres.DEBIAN_15 / "psql", "-Xq", "-d", self.url(cluster)], stdin=subprocess.PIPE))
        holder.stdin.write(b"BEGIN; LOCK TABLE busy IN ACCESS EXCLUSIVE MODE;\n")
        holder.stdin.flush()
        self.wait_for_sql(cluster, "EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND "
                                   "relation = 'busy'::regclass)")
        result = self.dump(cluster, "--lock-timeout", "1s", expect=1)
        self.assertIn("lock timeout", result.errors)

    def test_a_table_that_is_being_rewritten_is_seen_before_or_after_never_empty(self):
        """TRUNCATE and rewrites are not kept apart by snapshots: who looks with an older one sees nothing."""
        cluster = self.cluster()
        cluster.sql("CREATE TABLE t AS SELECT generate_series(1, 1000) AS id; CREATE TABLE others AS SELECT 0 AS n")
        writer = self.background(subprocess.Popen(
            [postgres.DEBIAN_15 / "psql", "-Xq", "-d", self.url(cluster)], stdin=subprocess.PIPE))
        writer.stdin.write(b"BEGIN; UPDATE others SET n = 1; CREATE TABLE late AS SELECT 1; TRUNCATE t; INSERT INTO t "
                           b"SELECT generate_series(1, 7);\n")
        writer.stdin.flush()
        self.wait_for_sql(cluster, "EXISTS (SELECT FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = "
                                   "'t'::regclass)")
        dump = self.background(self.salvor.start(self.repository, "postgres", "dump", "-d", self.url(cluster)))
        self.wait_for_sql(cluster, "EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 't'::regclass)")
        writer.stdin.write(b"COMMIT;\n")
        writer.stdin.close()
        self.finish(dump)
        self.assertEqual(self.rows(), {"public.t": 7, "public.others": 1, "public.late": 1})
        folder = self.path("restored")
        self.salvor.restore(self.repository, folder, "latest")
        self.assertEqual((folder / "data/public.others/000000.copy").read_text(), "1\n")

    def test_a_standby_can_be_read_instead(self):
        primary = self.cluster(wal_keep_size="256MB")
        self.psql_file(primary, EVERYTHING)
        standby = postgres.Cluster(self, self.place.path / "standby", primary.bin)
        postgres.run([primary.bin / "pg_basebackup", "-D", standby.data, "-R", "-c", "fast", "-d", primary.url])
        standby.start()
        until = time.monotonic() + 20
        while standby.sql("SELECT count(*) FROM pg_class WHERE relname = 'unl'") != "1":
            self.assertLess(time.monotonic(), until)
        self.assertIn("public.unl are not in this backup", self.dump(standby).errors)
        self.restore_by_hand(primary, "back", self.salvor)
        primary.sql("TRUNCATE unl")
        self.assert_same_database(primary, "postgres", "back")

    def test_secrets_stay_out_of_arguments_and_output(self):
        cluster = self.cluster()
        cluster.sql("CREATE ROLE app LOGIN SUPERUSER PASSWORD 'hunter2'")
        spy = self.path("spy")
        spy.mkdir()
        for name in ("pg_dump", "pg_restore", "pg_dumpall"):
            (spy / name).write_text("#!/bin/bash\n" f'echo "{name} $*" >> {spy}/log\n'
                                    f'exec {postgres.DEBIAN_15}/{name} "$@"\n')
            (spy / name).chmod(0o755)
        result = self.salvor(self.repository, "postgres", "dump", "-v", "--client-programs", spy, env={
            "DATABASE_URL": f"postgresql+asyncpg://app:hunter2@127.0.0.1:{cluster.port}/postgres?ssl=prefer"})
        log = (spy / "log").read_text()
        self.assertIn("pg_dump --schema-only", log)
        self.assertIn("user='app'", log)
        for text in (log, result.text, result.errors):
            self.assertNotIn("hunter2", text)
        restored = self.path("restored")
        self.salvor.restore(self.repository, restored, "latest")
        self.assertNotIn("SCRAM", (restored / "schema/roles.sql").read_text(), "no password hashes unless asked")


class Poolers(LogicalCase):
    def test_a_transaction_pooler_is_recognised_and_explained(self):
        pooler = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:" + os.environ["PATH"])
        if not pooler:
            self.skipTest("pgbouncer is not installed")
        cluster = self.cluster()
        cluster.sql("CREATE TABLE t AS SELECT generate_series(1, 100) AS id")
        for mode, expect in (("transaction", 64), ("session", 0)):
            port = self.pgbouncer(pooler, cluster, mode)
            result = self.salvor(self.repository, "postgres", "dump", "-d",
                                 f"postgresql://postgres@127.0.0.1:{port}/postgres", expect=expect)
            if expect:
                self.assertIn("pooler in transaction mode", result.errors)
                self.assertIn("5432", result.errors)
                self.assert_nothing_was_kept()
        self.assertEqual(self.rows(), {"public.t": 100})

    def pgbouncer(self, pooler, cluster, mode):
        port = postgres.free_port()
        settings = self.place.path / f"pgbouncer-{mode}.ini"
        settings.write_text(
            "[pgbouncer]\nlisten_addr = 127.0.0.1\n"
            f"listen_port = {port}\nauth_type = any\nunix_socket_dir =\npool_mode = {mode}\n"
            "ignore_startup_parameters = extra_float_digits\n"
            f"[databases]\npostgres = host=127.0.0.1 port={cluster.port} user=postgres dbname=postgres\n")
        self.place.own(settings)
        self.background(subprocess.Popen(postgres.as_user([pooler, "-q", settings]), cwd="/",
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        until = time.monotonic() + 10
        while subprocess.run([postgres.DEBIAN_15 / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)],
                             check=False).returncode != 0:
            self.assertLess(time.monotonic(), until)
            time.sleep(0.1)
        return port

    def test_the_usual_port_is_enough(self):
        cluster = postgres.Cluster(self, self.place.path / "cluster", port=6543)
        postgres.run([cluster.bin / "initdb", "-D", cluster.data, "-A", "trust", "-U", postgres.USER, "--no-sync"])
        cluster.start()
        self.assertIn("port 6543", self.dump(cluster, expect=64).errors)
        self.dump(cluster, "--allow-pooler")


class Versions(LogicalCase):
    def dump_and_restore(self, version, arguments=(), clients=postgres.DEBIAN_15):
        cluster = self.cluster(binaries=server_binaries(self, version))
        cluster.pgbench_init(scale=1)
        cluster.sql("CREATE TABLE gen (id int GENERATED ALWAYS AS IDENTITY, d int GENERATED ALWAYS AS (1 + 1) STORED, "
                    "t text); INSERT INTO gen (t) SELECT md5(g::text) FROM generate_series(1, 1000) g")
        self.dump(cluster, "--part-size", "4M", *arguments)
        self.restore_by_hand(cluster, "back", self.salvor, clients)
        self.assert_same_database(cluster, "postgres", "back", binaries=clients)
        return cluster

    def test_13(self):
        self.dump_and_restore(13)

    def test_14(self):
        self.dump_and_restore(14)

    def test_17_with_newer_client_programs(self):
        clients = clients_18(self)
        self.dump_and_restore(17, ("--client-programs", clients), clients)

    @limit(180)
    def test_18(self):
        clients = clients_18(self)
        cluster = self.dump_and_restore(18, ("--client-programs", clients), clients)
        # Debian's pg_dump is older than this server.
        result = self.dump(cluster, "--client-programs", postgres.DEBIAN_15, expect=24)
        self.assertIn("pg_dump is older than the server, which is 18", result.errors)
        self.dump(cluster, "--no-schema", "--client-programs", postgres.DEBIAN_15)
        self.assertEqual(self.rows()["public.gen"], 1000)
