"""Immutable copies (S3): object lock extended and respected, the past of a versioned bucket after an attack, and
credentials that can add backups but not take them away."""
import datetime
import json
import re
import time

import s3
import servers
from toolbox import PASSWORD, RESTIC_NEW, ROOT, TestCase, limit

BACKUP_RIGHTS = {  # docs/storage-s3.md, but for the condition, which these servers do not know
    "Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetBucketLocation"], "Resource": "arn:aws:s3:::bucket"},
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::bucket/repo/*"},
        {"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": "arn:aws:s3:::bucket/repo/locks/*"}]}


def in_days(days):
    return datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)


class _Server(TestCase):
    server_name = None
    peer_root = ROOT

    def setUp(self):
        super().setUp()
        self.server = s3.Server(self, self.server_name)
        self.admin = self.server.admin
        self.environment |= {"AWS_ACCESS_KEY_ID": s3.KEY, "AWS_SECRET_ACCESS_KEY": s3.SECRET}
        self.repository = self.server.url("bucket/repo")

    def tree(self, count=6):
        return self.make_tree("tree", {f"d/f{i}": self.bytes(400_000) for i in range(count)})

    def retention(self, key):
        headers, _ = self.admin.must("HEAD", f"/bucket/{key}")
        until = headers.get("x-amz-object-lock-retain-until-date")
        return (headers.get("x-amz-object-lock-mode"),
                until and datetime.datetime.fromisoformat(re.sub(r"\.\d+", "", until).replace("Z", "+00:00")))

    def keys(self, part=""):
        return sorted({key for key, _, latest, marker in self.admin.versions("bucket", f"repo/{part}")
                       if latest and not marker})


class _Locked(_Server):
    """Object lock (S3, V1)."""
    LOCK = ("-o", "s3.object-lock=governance", "-o", "s3.object-lock-days=2")

    def setUp(self):
        super().setUp()
        self.admin.make_bucket("bucket", lock=True)
        self.salvor(self.repository, *self.LOCK, "init")

    def assert_until(self, key, days):
        _, until = self.retention(key)
        self.assertLess(abs((until - in_days(days)).total_seconds()), 300, key)

    @limit(240)
    def test_what_snapshots_need_is_extended_and_the_rest_expires(self):
        tree = self.tree()
        self.salvor.backup(self.repository, tree, *self.LOCK)
        old = set(self.keys("data/"))
        for file in (tree / "d").iterdir():
            if file.name != "f0":
                file.write_bytes(self.bytes(400_000))
        self.salvor.backup(self.repository, tree, *self.LOCK, "--pack-size", "4")
        shown = self.salvor(self.repository, "retention", "show", "--json").message("retention")
        self.assertEqual(shown["objects"], shown["protected"])
        self.assertEqual(0, shown["extended"])
        # The first snapshot goes (a delete marker hides it); its packs are needed for f0 in part only.
        first = self.salvor.snapshots(self.repository)[0]
        self.salvor(self.repository, "forget", first["id"])
        dry = self.salvor(self.repository, "retention", "extend", "--days", "9", "--dry-run", "--json")
        self.assert_until(self.keys("data/")[0], 2)
        done = self.salvor(self.repository, "retention", "extend", "--days", "9", "--json").message("retention")
        self.assertEqual(dry.message("retention")["extended"], done["extended"])
        self.assertEqual(done["objects"], done["extended"])
        needed = 0
        for key in self.keys():
            mode, until = self.retention(key)
            if key.startswith("repo/locks/"):
                continue
            self.assertEqual("GOVERNANCE", mode, key)
            needed += until > in_days(8)
        self.assertEqual(done["objects"], needed)
        # Never shorter, and nothing to do the second time.
        again = self.salvor(self.repository, "retention", "extend", "--days", "1", "--json").message("retention")
        self.assertEqual(0, again["extended"])
        self.assert_until(self.keys("snapshots/")[0], 9)
        self.assertTrue(old & set(self.keys("data/")))
        self.peer(RESTIC_NEW)(self.repository, "check", "--read-data")

    @limit(240)
    def test_a_missing_pack_does_not_keep_the_others_from_being_extended(self):
        self.salvor.backup(self.repository, self.tree(), *self.LOCK)
        size = lambda key: int(self.admin.must("HEAD", f"/bucket/{key}")[0]["content-length"])
        missing = max(self.keys("data/"), key=size)  # of data: trees have to be read
        self.admin.must("DELETE", f"/bucket/{missing}")
        said = self.salvor(self.repository, "retention", "extend", "--days", "9", "--json", expect=3)
        done = said.message("retention")
        self.assertEqual((1, done["objects"] - 1), (done["failed"], done["extended"]))
        self.assertIn(missing.rsplit("/", 1)[1][:8], said.errors)
        for key in self.keys():
            if not key.startswith("repo/locks/"):
                self.assert_until(key, 9)

    @limit(240)
    def test_prune_leaves_what_is_locked_and_says_until_when(self):
        tree = self.tree()
        self.salvor.backup(self.repository, tree, *self.LOCK)
        packs = self.keys("data/")
        for file in (tree / "d").iterdir():
            file.write_bytes(self.bytes(400_000))
        self.salvor.backup(self.repository, tree, *self.LOCK)
        said = self.salvor(self.repository, "forget", "--keep-last", "1", "--prune").text
        self.assertRegex(said, r"locked by the storage: [1-9]\d* packs without use stay, .* the last until "
                         + in_days(2).strftime("%Y-"))
        self.assertLessEqual(set(packs), set(self.keys("data/")))
        self.peer(RESTIC_NEW)(self.repository, "check", "--read-data")
        self.assert_restores(self.salvor, self.repository, tree)
        # When the locks are gone (here: somebody with the right to bypass them), the next prune removes them.
        for key in packs:
            status, _, body = self.admin(
                "PUT", f"/bucket/{key}", "retention",
                "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>GOVERNANCE</Mode><RetainUntilDate>"
                + (in_days(0) + datetime.timedelta(seconds=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
                + "</RetainUntilDate></Retention>", headers={"x-amz-bypass-governance-retention": "true"})
            self.assertEqual(200, status, body)

        time.sleep(3)
        said = self.salvor(self.repository, "prune").text
        self.assertNotIn("locked by the storage", said)
        self.assertFalse(set(packs) & set(self.keys("data/")))
        self.peer(RESTIC_NEW)(self.repository, "check", "--read-data")

    @limit(180)
    def test_a_legal_hold_is_respected_and_told(self):
        tree = self.tree(2)
        self.salvor.backup(self.repository, tree)  # not locked
        packs = self.keys("data/")
        hold = lambda key, state: self.admin.must(
            "PUT", f"/bucket/{key}", "legal-hold",
            f"<LegalHold xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Status>{state}</Status></LegalHold>")
        for key in packs:
            hold(key, "ON")
        (tree / "d/f0").unlink()
        (tree / "d/f1").write_bytes(self.bytes(1000))
        self.salvor.backup(self.repository, tree)
        shown = self.salvor(self.repository, "retention", "show")
        self.assertIn("needed objects are not protected", shown.text)
        said = self.salvor(self.repository, "forget", "--keep-last", "1", "--prune").text
        self.assertIn("under legal hold", said)
        self.assertLessEqual(set(packs), set(self.keys("data/")))
        for key in packs:
            hold(key, "OFF")
        self.assertNotIn("legal hold", self.salvor(self.repository, "prune").text)
        self.assertFalse(set(packs) & set(self.keys("data/")))

    def test_a_bucket_without_object_lock_says_so(self):
        self.admin.make_bucket("plain")
        plain = self.server.url("plain")
        self.salvor(plain, "init")
        shown = self.salvor(plain, "retention", "show", "--json").message("retention")
        self.assertEqual((0, None), (shown["protected"], shown["protected_until"]))
        refused = self.salvor(plain, "retention", "extend", expect=64)
        self.assertIn("object lock", refused.errors)


class LockedVersitygw(_Locked):
    server_name = "versitygw"


class LockedMinio(_Locked):
    server_name = "minio"


class _Attack(_Server):
    """A versioned bucket after somebody had the backup host's credentials (S3)."""

    def setUp(self):
        super().setUp()
        self.admin.make_bucket("bucket", versioned=True)
        self.salvor(self.repository, "init")

    @limit(240)
    def test_the_past_is_restored_and_copied_after_all_was_removed_and_written_over(self):
        tree = self.tree()
        self.salvor.backup(self.repository, tree)
        (tree / "later").write_bytes(self.bytes(10_000))
        self.salvor.backup(self.repository, tree)

        time.sleep(1.1)
        before = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        time.sleep(1.1)
        for number, key in enumerate(self.keys()):
            if number % 3:
                self.admin.must("DELETE", f"/bucket/{key}")
            else:
                self.admin.must("PUT", f"/bucket/{key}", body=b"ransom" * 100)
                if number % 2:
                    self.admin.must("DELETE", f"/bucket/{key}")
        self.salvor(self.repository, "snapshots", expect=range(1, 64))
        past = ("-o", f"s3.as-of={before}")
        self.assertEqual(2, len(self.salvor.snapshots(self.repository, *past)))
        self.salvor.check(self.repository, *past)
        target = self.path("restored")
        self.salvor(self.repository, *past, "restore", "latest", "--target", target)
        self.assert_same_tree(tree, target)
        # Into a new repository, which the real restic judges.
        copy = self.new_repository(name="copy")
        self.salvor(copy, "copy", "--from-repo", self.repository, "-o", f"from.s3.as-of={before}",
                    env={"RESTIC_FROM_PASSWORD": PASSWORD})
        restic = self.peer(RESTIC_NEW)
        restic(copy, "check", "--read-data")
        self.assertEqual(2, len(restic.snapshots(copy)))
        self.assert_restores(restic, copy, tree)
        # Also into another place of the same bucket, with credentials for both.
        rescue = self.server.url("bucket/rescue")
        self.salvor(rescue, "init")
        self.salvor(rescue, "copy", "--from-repo", self.repository, "-o", f"from.s3.as-of={before}",
                    env={"RESTIC_FROM_PASSWORD": PASSWORD})
        restic(rescue, "check", "--read-data")
        # The past is only read.
        versions = self.admin.versions("bucket", "repo/")
        for command in (("backup", tree), ("forget", "--keep-last", "1", "--prune"), ("unlock",)):
            refused = self.salvor(self.repository, *past, *command, expect=(22, 0))
            self.assertTrue(refused.code == 22 or command == ("unlock",))
        self.assertEqual(versions, self.admin.versions("bucket", "repo/"))

    def test_times_between(self):
        tree = self.make_tree("tree", {"a": b"one"})

        moments = []
        for content in (b"one", b"two"):
            (tree / "a").write_bytes(content)
            time.sleep(1.1)
            self.salvor.backup(self.repository, tree)
            time.sleep(1.1)
            moments.append(datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
        for moment, content in zip(moments, (b"one", b"two")):
            said = self.salvor(self.repository, "-o", f"s3.as-of={moment}", "dump", "latest", "/a")
            self.assertEqual(content, said.out)
        self.salvor(self.repository, "-o", "s3.as-of=2001-01-01T00:00:00Z", "snapshots", expect=10)
        wrong = self.salvor(self.repository, "-o", "s3.as-of=yesterday", "snapshots", expect=64)
        self.assertIn("2026-11-20T10:00:00Z", wrong.errors)
        self.admin.make_bucket("plain")
        plain = self.server.url("plain")
        self.salvor(plain, "init")
        refused = self.salvor(plain, "-o", f"s3.as-of={moments[0]}", "snapshots", expect=1)
        self.assertIn("keeps no versions", refused.errors)


class AttackVersitygw(_Attack):
    server_name = "versitygw"


class AttackMinio(_Attack):
    server_name = "minio"


class _Rights(_Server):
    """Credentials that add backups and remove nothing but locks (S3)."""

    def rights(self):
        """Puts BACKUP_RIGHTS in force; the environment and options of whoever has only these."""
        raise NotImplementedError

    @limit(180)
    def test_they_are_enough_for_backups_and_not_for_removal(self):
        self.admin.make_bucket("bucket")
        self.salvor(self.repository, "init")
        environment, options = self.rights()
        tree = self.tree(3)
        for name in ("first", "second"):
            (tree / name).write_bytes(self.bytes(300_000))
            self.salvor.backup(self.repository, tree, *options, env=environment)
        self.salvor(self.repository, *options, "snapshots", env=environment)
        self.assertEqual([], self.keys("locks/"), "a lock stayed")
        before = {key: version for key, version, _, _ in self.admin.versions("bucket", "repo/")}
        refused = self.salvor(self.repository, *options, "forget", "--keep-last", "1", expect=(3, 22), env=environment)
        self.assertIn("s3:DeleteObject", refused.errors)
        self.salvor(self.repository, *options, "prune", "--max-unused", "0", expect=(0, 22), env=environment)
        self.salvor(self.repository, *options, "key", "remove", "0", expect=range(1, 65), env=environment)
        self.assertEqual(before, {key: version for key, version, _, _ in self.admin.versions("bucket", "repo/")})
        # Prune with other credentials.
        self.salvor(self.repository, "forget", "--keep-last", "1", "--prune")
        restic = self.peer(RESTIC_NEW)
        restic(self.repository, "check", "--read-data")
        self.assert_restores(restic, self.repository, tree)


class RightsOfAVersitygwAccount(_Rights):
    server_name = "versitygw"

    def rights(self):
        self.server.add_user("backup", "backup-secret")
        policy = json.loads(json.dumps(BACKUP_RIGHTS))
        for statement in policy["Statement"]:
            statement["Principal"] = {"AWS": ["backup"]}
        self.admin.must("PUT", "/bucket", "policy", json.dumps(policy))
        return {"AWS_ACCESS_KEY_ID": "backup", "AWS_SECRET_ACCESS_KEY": "backup-secret"}, ()


class RightsOfAnybodyAtMinio(_Rights):
    """MinIO's accounts are made with its own program only; its bucket policies bind whoever has no account."""
    server_name = "minio"

    def rights(self):
        policy = json.loads(json.dumps(BACKUP_RIGHTS))
        for statement in policy["Statement"]:
            statement["Principal"] = {"AWS": ["*"]}
        self.admin.must("PUT", "/bucket", "policy", json.dumps(policy))
        return {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, ("-o", "s3.unsafe-anonymous-auth=true")


class AppendOnlyRestServer(TestCase):
    def test_backups_need_no_removal_but_of_locks(self):
        data = self.path("rest")
        data.mkdir()
        append = servers.RestServer(data, "--no-auth", "--append-only")
        self.addCleanup(append.stop)
        whole = servers.RestServer(data, "--no-auth")
        self.addCleanup(whole.stop)
        mine, pruners = (f"rest:http://127.0.0.1:{server.port}/repo/" for server in (append, whole))
        tree = self.make_tree("tree", {"a": self.bytes(300_000)})
        self.salvor(mine, "init")
        self.salvor.backup(mine, tree)
        (tree / "b").write_bytes(self.bytes(1000))
        self.salvor.backup(mine, tree)
        self.assertEqual([], list((data / "repo/locks").iterdir()))
        stored = sorted((data / "repo").rglob("*"))
        refused = self.salvor(mine, "forget", "--keep-last", "1", "--prune", expect=(3, 22))
        self.assertIn("append-only", refused.errors)
        self.assertEqual(stored, sorted((data / "repo").rglob("*")))
        self.salvor(pruners, "forget", "--keep-last", "1", "--prune")
        self.peer(RESTIC_NEW)(mine, "check", "--read-data")
