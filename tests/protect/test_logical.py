"""A PostgreSQL source of `method: logical`, by name: backed up, listed, restored whole and by table, verified, drilled (P1, P4, R1,
R3, R5, R11, V1)."""
import subprocess
import time

import postgres
from postgres_case import tools_18
from protect_case import ApplicationCase
from toolbox import limit


class _LogicalCase(ApplicationCase):
    """`method: logical`: only a connection is needed; databases and tables come back with their rows counted."""

    def binaries(self):
        return postgres.DEBIAN_15

    def setUp(self):
        super().setUp()
        self.place = postgres.Place(self)
        self.sandboxes = self.place.path / "sandboxes"  # where the server's user gets to
        self.cluster = postgres.Cluster.make(self, self.place, binaries=self.binaries())
        self.cluster.sql("CREATE ROLE clerk; CREATE ROLE reader")
        self.cluster.sql("CREATE DATABASE shop OWNER clerk")
        self.sql("CREATE TABLE orders AS SELECT n, 'order ' || n AS what FROM generate_series(1, 1000) n;"
                 "ALTER TABLE orders ADD PRIMARY KEY (n);"
                 "CREATE TABLE lines (n bigserial PRIMARY KEY, of_order int REFERENCES orders);"
                 "INSERT INTO lines (of_order) SELECT n FROM generate_series(1, 1000) n;"
                 "ALTER TABLE orders OWNER TO clerk; GRANT SELECT ON orders TO reader;"
                 "CREATE POLICY own ON orders FOR SELECT TO reader USING (n > 0)")
        self.url = self.cluster.url.rsplit("/", 1)[0] + "/shop"
        self.write("")

    def write(self, more):
        self.configure("""
            sources:
              db:
                postgres: {{url: env:SHOP_URL, method: logical, binaries: "{bin}"}}
                assertions: ["SELECT count(*) >= 1000 FROM orders", "SELECT count(*) > 0 FROM lines"]
            """ + more, bin=self.cluster.bin)

    def sql(self, text, database="shop", **options):
        return self.cluster.sql(text, database, **options)

    def shop(self, *arguments, env=None, **options):
        return super().shop(*arguments, env={"SHOP_URL": self.url, **(env or {})}, **options)

    def databases(self):
        return self.cluster.sql("SELECT string_agg(datname, ',' ORDER BY datname) FROM pg_database WHERE datname LIKE 'shop%'")

    def accident_to_recovery(self):
        run = self.runs(self.shop("backup", "db", "--json", "--label", "pre-migration", "--keep", "7d"))[-1]
        self.assertEqual(run["outcome"], "succeeded", run)
        self.assertEqual([(c["name"], c["value"]) for c in run["checks"]][0],
                         ("rows and files of all tables", "2 tables, 2000 rows, 2 files"))
        self.assertEqual(run["checks"][1]["name"], "sample read again")
        self.sql("ALTER TABLE orders DROP COLUMN what; DELETE FROM lines")
        self.shop("backup", "db")  # the broken state is the newest
        refused = self.shop("restore", "db", "--label", "pre-migration", expect=64)
        self.assertIn("database shop at", refused.errors)
        self.assertIn("is replaced", refused.errors)
        self.assertEqual(self.databases(), "shop")
        waiting = self.background(subprocess.Popen(
            ["psql", self.url, "-c", "SELECT pg_sleep(600)"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        done = self.shop("restore", "db", "--label", "pre-migration", "--yes", "--json").message("summary")
        self.assertNotEqual(waiting.wait(20), 0)  # connections to it are ended
        self.assertIn("shop.before-", done["old_data"])
        self.assertEqual(self.sql("SELECT count(*), max(what) FROM orders"), "1000|order 999")
        self.assertEqual(self.sql("SELECT count(*) FROM lines"), "1000")
        self.assertEqual(self.sql("SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'orders'"), "clerk")
        self.shop("restore", "db", "--undo", "--yes")
        self.assertEqual((self.databases(), self.sql("SELECT count(*) FROM lines")), ("shop", "0"))
        self.shop("restore", "db", "--label", "pre-migration", "--yes")
        self.shop("restore", "db", "--discard-old", "--yes")
        self.assertEqual((self.databases(), self.sql("SELECT count(*) FROM lines")), ("shop", "1000"))
        self.shop("restore", "db", "--at", "latest", "--in-place", "--confirm", "db")
        self.assertEqual((self.databases(), self.sql("SELECT count(*) FROM lines")), ("shop", "0"))

    def verify_and_drill(self):
        self.shop("backup", "db")
        run = self.runs(self.shop("verify", "db", "--json"))[-1]
        self.assertEqual(self.failed_checks(run), [], run)
        names = {check["name"] for check in run["checks"]}
        self.assertLessEqual({"rows as backed up", "rows and columns as restored", "SELECT count(*) >= 1000 FROM orders"}, names)
        for scenario in ("deletion", "migration", "corruption", "loss", "ransomware"):
            with self.subTest(scenario=scenario):
                report = self.shop("drill", "run", "--scenario", scenario, "--json").message("drill_report")
                self.assertEqual(report["outcome"], "succeeded", report)
                self.assertTrue(report["points"][0]["fault"], report)
                self.assertTrue(report["checks"] and all(c["passed"] for c in report["checks"]), report)
        self.assertEqual(list(self.sandboxes.iterdir()), [], "sandboxes are removed")
        self.sql("DELETE FROM orders WHERE n > 10 AND false; DELETE FROM lines")
        self.shop("backup", "db")
        failed = self.runs(self.shop("verify", "db", "--json", expect=20))[-1]
        self.assertEqual([c["name"] for c in self.failed_checks(failed)], ["SELECT count(*) > 0 FROM lines"])


class Logical(_LogicalCase):
    @limit(300)
    def test_accident_to_recovery(self):
        self.accident_to_recovery()

    @limit(300)
    def test_verify_and_drill(self):
        self.verify_and_drill()

    @limit(300)
    def test_elsewhere_and_by_moment(self):
        self.shop("backup", "db")
        time.sleep(0.1)
        then = self.cluster.sql("SELECT now()")
        time.sleep(0.1)
        self.sql("DELETE FROM lines")
        self.shop("backup", "db")
        self.shop("restore", "db", "--at", then, "--target", "shop_then")
        self.assertEqual(self.sql("SELECT count(*) FROM lines", "shop_then"), "1000")
        self.assertEqual(self.sql("SELECT count(*) FROM lines"), "0", "the real one is not touched")
        there = self.shop("restore", "db", "--at", then, "--target", "shop_then", expect=64)
        self.assertIn("is there", there.errors)
        self.shop("restore", "db", "--target", "env:OTHER_URL", env={"OTHER_URL": self.url.replace("/shop", "/shop_other")})
        self.assertEqual(self.sql("SELECT count(*) FROM lines", "shop_other"), "0")
        self.assertIn("not a reference", self.shop("restore", "db", "--target", self.url, expect=64).errors)
        early = self.shop("restore", "db", "--at", "2001-01-01 00:00:00Z", "--yes", expect=None)
        self.assertIn("the oldest is", early.errors)
        self.assertNotEqual(early.code, 0)

    @limit(300)
    def test_one_table(self):
        self.shop("backup", "db")
        self.sql("UPDATE orders SET what = 'wrong'; INSERT INTO lines (of_order) VALUES (1)")
        refused = self.shop("restore", "db", "--include", "orders", expect=64)
        self.assertIn("the 1000 rows of table public.orders are replaced by 1000", refused.errors)
        done = self.shop("restore", "db", "--include", "orders", "--yes", "--json").message("summary")
        self.assertEqual(self.sql("SELECT max(what), (SELECT count(*) FROM lines) FROM orders"), "order 999|1001")
        self.assertIn("snapshot ", done["old_data"])
        points = self.shop("points", "db", "--json").text
        self.assertNotIn(done["old_data"].split()[1], points, "what was kept is no recovery point of the whole")
        self.shop("restore", "db", "--undo", "--yes")
        self.assertEqual(self.sql("SELECT DISTINCT what FROM orders"), "wrong")
        missing = self.shop("restore", "db", "--include", "nothing", "--yes", expect=None)
        self.assertNotEqual(missing.code, 0)

    @limit(300)
    def test_partitions_made_since_are_kept_for_undo(self):
        self.sql("CREATE TABLE m (id int) PARTITION BY RANGE (id); CREATE TABLE m1 PARTITION OF m FOR VALUES FROM (0) TO (50);"
                 "INSERT INTO m VALUES (1)")
        self.shop("backup", "db")
        self.sql("CREATE TABLE m2 PARTITION OF m DEFAULT; INSERT INTO m VALUES (2), (77)")
        refused = self.shop("restore", "db", "--include", "m", expect=64)
        self.assertIn("the 1 rows of partition public.m2, made since the backup, are removed", refused.errors)
        self.shop("restore", "db", "--include", "m", "--yes")
        self.assertEqual(self.sql("SELECT string_agg(id::text, ',' ORDER BY id) FROM m"), "1")
        self.shop("restore", "db", "--undo", "--yes")
        self.assertEqual(self.sql("SELECT string_agg(id::text, ',' ORDER BY id) FROM m"), "1,2,77")

    @limit(300)
    def test_run_and_plan(self):
        self.write("""
                schedule: daily 02:00
            plans:
              back:
                parameters: {{point: latest}}
                steps:
                  - name: bring back
                    restore: {{source: db, to: "${{point}}"}}
            """)
        kinds = {(run["kind"], run["outcome"]) for run in self.runs(self.shop("run", "--json"))}
        self.assertLessEqual({("backup", "succeeded"), ("verify", "succeeded")}, kinds)
        self.sql("DELETE FROM lines")
        dry = self.shop("plan", "run", "back", "--dry-run")
        self.assertIn("database shop at", dry.text)
        self.shop("plan", "run", "back", "--yes")
        self.assertEqual(self.sql("SELECT count(*) FROM lines"), "1000")

    def test_a_backup_that_lacks_a_part_is_not_good(self):
        """What a connection that may read too little cannot do: it is refused, not stored."""
        self.sql("CREATE ROLE poor LOGIN; GRANT SELECT ON orders TO poor")
        poor = self.url.replace(postgres.USER + "@", "poor@")
        refused = self.shop("backup", "db", env={"SHOP_URL": poor}, expect=None)
        self.assertNotEqual(refused.code, 0)
        self.assertIn("lines", refused.errors)
        self.assertEqual(self.salvor.snapshots(self.repository), [])


class Logical18(_LogicalCase):
    def binaries(self):
        return tools_18(self)

    @limit(300)
    def test_accident_to_recovery(self):
        self.accident_to_recovery()

    @limit(300)
    def test_verify_and_drill(self):
        self.verify_and_drill()
