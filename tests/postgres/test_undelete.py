"""Rows brought back into a live database (R4), from logical backups and from any moment (P3)."""
import json
import time

import postgres
from test_dump import server_binaries
from test_load import LoadCase
from toolbox import limit


class UndeleteCase(LoadCase):
    def undelete(self, cluster, *arguments, database="shop", user=postgres.USER, **options):
        return self.salvor(self.repository, "postgres", "undelete", "-d", self.url(cluster, database, user), *arguments,
                           **options)

    def sql(self, text):
        return self.server.sql(text, "shop")

    def contents(self):
        return [self.sql(f"SELECT string_agg(t::text, ';' ORDER BY t::text) FROM {table} t")
                for table in ("customers", "orders", "lines")]

    def triggers(self):
        return self.sql("SELECT string_agg(tgrelid::regclass || ' ' || tgname || ' ' || tgenabled::text, ', ' ORDER BY oid) "
                        "FROM pg_trigger WHERE tgname IN ('spoil', 'later', 'own')")

    def spoilt_partitions_come_back(self):
        """Rows that go to a partitioned table fire its partitions' triggers: the table's, cloned, and their own."""
        self.sql("CREATE TABLE m (id int PRIMARY KEY, v text) PARTITION BY RANGE (id); CREATE TABLE m1 PARTITION OF m FOR "
                 "VALUES FROM (0) TO (50); CREATE TABLE m2 PARTITION OF m FOR VALUES FROM (50) TO (99) PARTITION BY RANGE "
                 "(id); CREATE TABLE m2a PARTITION OF m2 DEFAULT; INSERT INTO m SELECT g, 'v' || g FROM "
                 "generate_series(1, 98) g; CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.v := "
                 "'spoilt'; RETURN NEW; END $$; CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE "
                 "'fired'; END $$; CREATE TRIGGER spoil BEFORE INSERT ON m FOR EACH ROW EXECUTE FUNCTION spoil(); CREATE "
                 "CONSTRAINT TRIGGER later AFTER INSERT ON m DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION "
                 "refuse(); CREATE TRIGGER own BEFORE INSERT ON m2a FOR EACH ROW EXECUTE FUNCTION spoil(); ALTER TABLE m2a "
                 "ENABLE ALWAYS TRIGGER own; ALTER TABLE ONLY m1 DISABLE TRIGGER spoil")
        before, triggers = self.sql("SELECT string_agg(v, ',' ORDER BY id) FROM m"), self.triggers()
        self.dump(self.server, database="shop")
        for restore in (lambda: self.undelete(self.server, "-t", "m", "--yes"),
                        lambda: self.load(self.server, "--table", "m", "--yes", database="shop")):
            self.sql("DELETE FROM m WHERE id % 3 = 0")
            restore()
            self.assertEqual(self.sql("SELECT string_agg(v, ',' ORDER BY id) FROM m"), before)
            self.assertEqual(self.triggers(), triggers)


class Logical(UndeleteCase):
    def setUp(self):
        super().setUp()
        self.server = self.shop()
        self.dump(self.server, database="shop")
        self.before = self.contents()
        self.sql("TRUNCATE log")

    def preview(self, *arguments):
        result = self.undelete(self.server, "-n", "--json", *arguments)
        return {m["table"]: m for m in result.lines() if m["message_type"] == "table"}

    def test_a_deleted_row_and_what_hung_on_it(self):
        self.sql("DELETE FROM orders WHERE id = 7; UPDATE orders SET total = 999 WHERE id = 8; INSERT INTO orders "
                 "(customer, total) VALUES (1, 1)")
        self.sql("TRUNCATE log")
        found = self.preview("-t", "orders", "-w", "id IN (7, 8, 9)", "--related")
        self.assertEqual([found["public.orders"][k] for k in ("chosen", "missing", "changed", "same")], [3, 1, 1, 1])
        self.assertEqual(found["public.orders"]["missing_rows"], [{"id": "7", "customer": "8", "total": "7"}])
        self.assertEqual(found["public.orders"]["changes"],
                         [{"key": "id=8", "column": "total", "then": "8", "now": "999"}])
        self.assertEqual(found["public.lines"]["missing"], 4)
        self.assertEqual(self.count(self.server, "orders"), 500, "a dry run changes nothing")

        result = self.undelete(self.server, "-t", "orders", "-w", "id IN (7, 8, 9)", "--related", expect=64)
        self.assertIn("3 rows chosen, 1 missing, 1 changed since, 1 the same", result.text)
        self.assertIn("are left as they are", result.text)
        self.assertEqual(self.count(self.server, "orders"), 500, "nothing without consent")

        result = self.undelete(self.server, "-t", "orders", "-w", "id IN (7, 8, 9)", "--related", "--yes")
        self.assertIn("5 rows inserted", result.text)
        self.sql("DELETE FROM orders WHERE id > 500; UPDATE orders SET total = 8 WHERE id = 8")
        self.assertEqual(self.contents(), self.before)
        self.assertEqual(self.sql("SELECT count(*) FROM log WHERE t LIKE 'INSERT%'"), "0", "triggers did not fire")
        self.assertEqual(self.sql("SELECT nextval('orders_id_seq')"), "502", "the sequence was not moved")

    def test_parents_that_are_gone_are_explained_and_brought_along(self):
        self.sql("DELETE FROM orders WHERE customer = 3; DELETE FROM customers WHERE id = 3")
        found = self.preview("-t", "orders", "-w", "customer = 3")
        self.assertIn("refer to rows of public.customers that are gone", found["public.orders"]["conflicts"][0])
        result = self.undelete(self.server, "-t", "orders", "-w", "customer = 3", "--yes", expect=1)
        self.assertIn("--related", result.errors)
        self.undelete(self.server, "-t", "orders", "-w", "customer = 3", "--yes", "--related")
        self.assertEqual(self.contents(), self.before)

    def test_everything_that_hung_on_a_parent(self):
        self.sql("DELETE FROM orders WHERE customer IN (4, 5); DELETE FROM customers WHERE id IN (4, 5)")
        self.undelete(self.server, "-t", "customers", "-w", "name IN ('c4', 'c5')", "--related", "--confirm", "shop")
        self.assertEqual(self.contents(), self.before)

    def test_values_that_others_have_taken_are_explained(self):
        self.sql("DELETE FROM orders WHERE customer = 6; DELETE FROM customers WHERE id = 6; INSERT INTO customers (name) "
                 "VALUES ('c6')")
        result = self.undelete(self.server, "-t", "customers", "-w", "id = 6", "--yes", expect=1)
        self.assertIn("customers_name_key, for example name c6", result.errors)

    def test_changed_rows_are_put_back_only_when_asked(self):
        self.sql("UPDATE orders SET total = total + 1 WHERE id <= 10")
        self.assertIn("nothing to do", self.undelete(self.server, "-t", "orders").text)
        self.undelete(self.server, "-t", "orders", "-w", "id <= 5", "--overwrite", "--yes")
        self.assertEqual(self.sql("SELECT string_agg(id::text, ',' ORDER BY id) FROM orders WHERE total <> id"),
                         "6,7,8,9,10")

    def test_the_condition_can_do_no_harm(self):
        self.sql("CREATE TABLE precious AS SELECT 1 AS id; CREATE FUNCTION evil() RETURNS bool LANGUAGE sql AS 'DELETE FROM "
                 "public.precious RETURNING true'")
        for where in ("true); DROP TABLE precious; --", "true) ; DELETE FROM precious WHERE (true", "evil()",
                      "id = (SELECT nextval('orders_id_seq'))", "nonsense = 1"):
            result = self.undelete(self.server, "-t", "orders", "-w", where, "--yes", expect=64)
            self.assertIn("--where", result.errors, where)
        self.assertEqual(self.count(self.server, "precious"), 1)

    def test_tables_of_every_kind(self):
        self.sql("CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE odd (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
                 "j json, m mood, x xml, d int GENERATED ALWAYS AS (5) STORED, p point); INSERT INTO odd (j, m, x, p) VALUES "
                 "('{\"a\": 1}', 'b', '<a/>', '(1,2)'); CREATE TABLE nokey (t text, j json); INSERT INTO nokey VALUES "
                 "('x', '1'), ('y', '2'); CREATE TABLE m (id int PRIMARY KEY, up int REFERENCES m) PARTITION BY RANGE (id); "
                 "CREATE TABLE m1 PARTITION OF m FOR VALUES FROM (0) TO (50); CREATE TABLE m2 PARTITION OF m DEFAULT; "
                 "INSERT INTO m SELECT g, NULLIF(g - 1, 0) FROM generate_series(1, 99) g; CREATE TABLE a (id int PRIMARY "
                 "KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a); ALTER TABLE a ADD FOREIGN KEY (b) "
                 "REFERENCES b; INSERT INTO a VALUES (1, NULL); INSERT INTO b VALUES (1, 1); UPDATE a SET b = 1")
        self.dump(self.server, database="shop")
        tables = ("odd", "nokey", "m", "a", "b")
        before = [self.sql(f"SELECT string_agg(t::text, ';' ORDER BY t::text) FROM {t} t") for t in tables]
        self.sql("DELETE FROM odd; DELETE FROM nokey WHERE t = 'x'; DELETE FROM m; UPDATE a SET b = NULL; DELETE FROM b; "
                 "DELETE FROM a")
        for table in ("odd", "nokey", "m"):
            self.undelete(self.server, "-t", table, "--yes")
        self.undelete(self.server, "-t", "a", "--related", "--yes")
        self.assertEqual([self.sql(f"SELECT string_agg(t::text, ';' ORDER BY t::text) FROM {t} t") for t in tables], before)

    def test_triggers_of_partitions_do_not_fire(self):
        self.spoilt_partitions_come_back()

    def test_checks_that_are_put_off_do_not_keep_triggers_off(self):
        self.sql("CREATE TABLE late (id int PRIMARY KEY, c int REFERENCES customers DEFERRABLE INITIALLY DEFERRED); INSERT "
                 "INTO late SELECT g, g FROM generate_series(1, 9) g; CREATE TRIGGER own AFTER INSERT ON late FOR EACH ROW "
                 "EXECUTE FUNCTION note()")
        self.dump(self.server, database="shop")
        self.sql("DELETE FROM late WHERE id > 5; TRUNCATE log")
        self.undelete(self.server, "-t", "late", "--yes")
        self.assertEqual(self.count(self.server, "late"), 9)
        self.assertEqual((self.count(self.server, "log"), self.triggers()), (0, "late own O"))

    def test_columns_that_came_and_went(self):
        self.sql("DELETE FROM lines WHERE order_id = 1; ALTER TABLE lines DROP COLUMN what; ALTER TABLE lines ADD COLUMN "
                 "added int DEFAULT 5")
        found = self.preview("-t", "lines", "-w", "order_id = 1 AND what LIKE 'x%'")
        self.assertEqual(len(found["public.lines"]["notes"]), 3)
        self.undelete(self.server, "-t", "lines", "-w", "order_id = 1 AND what LIKE 'x%'", "--yes")
        self.assertEqual(self.sql("SELECT count(*), min(added) FROM lines WHERE order_id = 1"), "4|5")
        self.sql("ALTER TABLE customers ALTER name TYPE varchar(9)")
        self.assertIn("name of table public.customers was text and is character varying(9)",
                      self.undelete(self.server, "-t", "customers", "--yes", expect=1).errors)

    def test_before_a_time_and_a_role_with_few_rights(self):
        middle = self.server.sql("SELECT clock_timestamp()")
        time.sleep(1.1)
        self.sql("DELETE FROM lines WHERE order_id = 2")
        self.dump(self.server, database="shop")
        self.assertIn("nothing to do", self.undelete(self.server, "-t", "lines", "-w", "order_id = 2").text)
        self.server.sql("CREATE ROLE clerk LOGIN")
        self.sql("GRANT SELECT, INSERT ON lines TO clerk")
        self.undelete(self.server, "-t", "lines", "-w", "order_id = 2", "--before", middle, "--yes", user="clerk")
        self.assertEqual(self.contents(), self.before)
        self.assertIn("is not in the backup", self.undelete(self.server, "-t", "nothing", expect=24).errors)


class Physical(UndeleteCase):
    @limit(180)
    def test_rows_as_of_a_second(self):
        self.server = self.shop()
        self.salvor(self.repository, "postgres", "backup", "-d", self.server.url)
        stream = self.background(self.salvor.start(self.repository, "wal", "stream", "-d", self.server.url,
                                                   "--create-slot", "--spool", self.path("spool"), "--flush", "1s"))
        self.sql("INSERT INTO customers (name) VALUES ('after the backup')")
        time.sleep(1.2)
        moment = self.server.sql("SELECT clock_timestamp()")
        time.sleep(0.2)
        self.sql("DELETE FROM lines; DELETE FROM orders; DELETE FROM customers")
        self.sql("CREATE TABLE later AS SELECT 1")
        end = self.server.sql("SELECT pg_switch_wal(); SELECT pg_current_wal_lsn()").split("\n")[-1]
        self.wait_for_sql(self.server, f"EXISTS (SELECT FROM pg_replication_slots WHERE restart_lsn >= '{end}')", 40)
        time.sleep(2)
        scratch = self.place.path / "scratch"
        scratch.mkdir()
        result = self.undelete(self.server, "-t", "customers", "--related", "--scratch", scratch, "--before", moment,
                               "--yes", "--json", timeout=150)
        self.assertEqual(json.loads(result.text.splitlines()[-1])["inserted"], 51 + 500 + 2000)
        self.assertEqual(self.count(self.server, "customers"), 51)
        self.assertEqual(self.count(self.server, "lines"), 2000)
        self.assertEqual(list(scratch.iterdir()), [], "the throw-away cluster is gone")
        stream.terminate()
        stream.wait(30)

    @limit(180)
    def test_what_the_original_preloads_need_not_be_here(self):
        self.server = self.shop()
        for setting in ("shared_preload_libraries", "session_preload_libraries"):
            self.server.sql(f"ALTER SYSTEM SET {setting} = 'salvor_not_here'")
        self.salvor(self.repository, "postgres", "backup", "-d", self.server.url)
        self.sql("DELETE FROM lines WHERE order_id = 1")
        scratch = self.place.path / "scratch"
        scratch.mkdir()
        self.undelete(self.server, "-t", "lines", "--scratch", scratch, "--yes", timeout=150)
        self.assertEqual(self.count(self.server, "lines"), 2000)
        result = self.undelete(self.server, "-t", "lines", "--scratch", scratch, "-n", "--set",
                               "shared_preload_libraries=salvor_not_here", expect=None, timeout=150)
        self.assertNotEqual(result.code, 0)
        self.assertIn("salvor_not_here", result.errors, "who needs one can say so")

    def test_the_cluster_as_it_was_under_a_label(self):
        cluster = self.shop()
        self.salvor(self.repository, "postgres", "backup", "--label", "pre-migration", "--keep", "7d", "-d", cluster.url)
        self.assertIn("LABEL: pre-migration", self.salvor(self.repository, "dump", "latest", "/backup_label").text)
        cluster.sql("DROP TABLE lines", "shop")
        self.salvor(self.repository, "postgres", "backup", "-d", cluster.url)
        target = self.place.path / "restored"
        self.assertIn("label nonsense", self.salvor(self.repository, "postgres", "restore", "--target", target, "--label",
                                                    "nonsense", expect=24).errors)
        self.salvor(self.repository, "postgres", "restore", "--target", target, "--label", "pre-migration")
        restored = postgres.Cluster(self, target)
        restored.start()
        self.assertEqual(self.count(restored, "lines"), 2000)


class OlderServers(UndeleteCase):
    """13 and 14 call a partition's clone of a trigger internal."""

    def partitions(self, version):
        self.server = self.shop(binaries=server_binaries(self, version))
        self.spoilt_partitions_come_back()

    @limit(180)
    def test_13(self):
        self.partitions(13)

    @limit(180)
    def test_14(self):
        self.partitions(14)
