"""Exports by SQL (P14): chosen rows and columns, nothing sensitive in the clear."""
import csv
import io
import json

from test_dump import LogicalCase
from toolbox import RESTIC_NEW


class Export(LogicalCase):
    def setUp(self):
        super().setUp()
        self.server = self.cluster()
        self.server.sql(
            "CREATE TABLE users (id int PRIMARY KEY, email text, card text, password text, born date, j json, jb jsonb, "
            "f float8 DEFAULT 'NaN'); CREATE TABLE logins (user_email text, at timestamptz DEFAULT now()); CREATE TABLE "
            "other (x int); INSERT INTO users (id, email, card, password, born, j, jb) VALUES "
            "(2, 'ann@example.com', '4111111111111111', 'hunter2', '2000-02-29', E'{\"a\":\\n 1}', '{\"k\": \"ü\"}'), "
            "(1, 'x', '12', 'hunter2', NULL, E'\"a\\\\nb\"', NULL), (3, NULL, NULL, 'hunter2', '1970-01-01', NULL, NULL); "
            "INSERT INTO logins (user_email) VALUES ('ann@example.com'), ('ann@example.com'), (E'odd\"\\n,name')")

    def export(self, *arguments, **options):
        return self.salvor(self.repository, "postgres", "export", "-d", self.url(self.server), *arguments, **options)

    def file(self, name):
        return self.salvor(self.repository, "dump", "latest", "/" + name).text

    def rows(self, name):
        return [json.loads(line) for line in self.file(f"tables/public.{name}.jsonl").splitlines()]

    def test_what_is_sensitive_is_nowhere(self):
        self.export("--table", "users", "--table", "logins", "--exclude-column", "password", "--mask", "users.email=email",
                    "--mask", "card=last4", "--mask", "logins.user_email=hash", "--mask", "born=null", "--where",
                    "users=id < 3")
        self.assertEqual([(r["id"], r["email"], r["card"], r["born"]) for r in self.rows("users")],
                         [(1, "***", "****", None), (2, "a***@example.com", "****1111", None)])
        hashes = [r["user_email"] for r in self.rows("logins")]
        self.assertEqual(hashes[0], hashes[1])
        self.assertNotEqual(hashes[0], hashes[2])
        self.assertRegex(hashes[0], "^[0-9a-f]{64}$")
        folder = self.path("out")
        self.peer(RESTIC_NEW).restore(self.repository, folder, "latest")
        everything = "".join(f.read_text() for f in folder.rglob("*") if f.is_file())
        for secret in ("hunter2", "ann@", "411111", "2000-02-29"):
            self.assertNotIn(secret, everything)
        self.export("--table", "logins", "--mask", "user_email=hash")
        self.assertNotEqual(self.rows("logins")[0]["user_email"], hashes[0], "another export, other hashes")

    def test_values_are_what_they_are(self):
        self.export("--table", "users")
        rows = self.rows("users")
        self.assertEqual([r["id"] for r in rows], [1, 2, 3], "in the order of the key")
        self.assertEqual(rows[1]["j"], {"a": 1})
        self.assertEqual(rows[0]["j"], "a\nb")
        self.assertEqual(rows[1]["jb"], {"k": "ü"})
        self.assertEqual(rows[2]["f"], "NaN")
        manifest = json.loads(self.file("export.json"))
        self.assertEqual((manifest["database"], manifest["tables"][0]["rows"]), ("postgres", 3))
        snapshot = self.salvor.snapshots(self.repository)[0]
        self.assertIn("postgresql-export", snapshot["tags"])
        self.assertEqual(snapshot["paths"], ["/postgresql-export/127.0.0.1/postgres"])

    def test_csv_and_chosen_columns(self):
        self.export("--table", "logins", "--columns", "logins=user_email", "--format", "csv")
        rows = list(csv.reader(io.StringIO(self.file("tables/public.logins.csv"), newline="")))
        self.assertEqual(rows[0], ["user_email"])
        self.assertIn(['odd"\n,name'], rows)
        self.assertEqual(json.loads(self.file("export.json"))["tables"][0]["left_out"], ["at"])

    def test_a_name_that_matches_nothing_exports_nothing(self):
        for arguments in (["--mask", "emial=hash"], ["--exclude-column", "users.pasword"], ["--columns", "users=id,emial"],
                          ["--columns", "user=id"], ["--where", "user=true"], ["--mask", "email=hush"], ["--mask", "email"]):
            result = self.export("--table", "users", *arguments, expect=64)
            self.assertIn("salvor: ", result.errors)
        self.assert_nothing_was_kept()
        self.export("--table", "nobody", expect=24)

    def test_a_condition_is_a_condition_and_nothing_else(self):
        for where in ("true); DROP TABLE other; --", "true)) TO STDOUT; DROP TABLE other; --", "nonsense", "id = 1;"):
            self.assertIn("does not take the condition",
                          self.export("--table", "users", "--where", f"users={where}", expect=64).errors)
        self.server.sql("CREATE FUNCTION evil() RETURNS bool LANGUAGE sql AS 'DELETE FROM public.other RETURNING true'; "
                        "INSERT INTO other VALUES (1)")
        result = self.export("--table", "users", "--where", "users=public.evil()", expect=1)
        self.assertIn("read-only", result.errors)
        self.assertEqual(self.server.sql("SELECT count(*) FROM other"), "1")
        self.assert_nothing_was_kept()

    def test_partitions_and_rights(self):
        self.server.sql("CREATE TABLE m (id int) PARTITION BY RANGE (id); CREATE TABLE m1 PARTITION OF m DEFAULT; INSERT INTO "
                        "m SELECT generate_series(1, 10); CREATE ROLE clerk LOGIN; GRANT SELECT ON m TO clerk")
        self.export("--table", "m*")
        self.assertEqual([t["table"] for t in json.loads(self.file("export.json"))["tables"]], ["public.m"])
        self.assertEqual(len(self.rows("m")), 10)
        self.salvor(self.repository, "postgres", "export", "-d", self.url(self.server, user="clerk"), "--table", "m")
        result = self.salvor(self.repository, "postgres", "export", "-d", self.url(self.server, user="clerk"), expect=22)
        self.assertIn("public.users", result.errors)
