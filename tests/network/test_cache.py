"""The local cache of remote repositories, and how many round trips there are: counted by the proxy."""
import os
import subprocess
import threading

import sealed
import servers
from toolbox import PASSWORD, RESTIC_NEW, TestCase, limit, needs_root


class Cached(TestCase):
    def setUp(self):
        super().setUp()
        self.stored = self.path("bucket-data") / "bucket/r"
        self.master = sealed.make_repository(self.stored, PASSWORD)
        self.server = servers.S3Server("versitygw", self.path("bucket-data"))
        self.addCleanup(self.server.stop)
        self.environment |= self.server.environment
        self.proxy = servers.FaultProxy(self.server.port, "--log", self.path("requests"))
        self.addCleanup(self.proxy.stop)
        self.repository = f"s3:http://127.0.0.1:{self.proxy.port}/bucket/r"
        self.near = f"s3:http://127.0.0.1:{self.server.port}/bucket/r"
        self.tree = self.make_tree("tree", {f"d{i}/e/f": self.bytes(50_000) for i in range(9)})
        self.salvor.backup(self.near, self.tree, "--no-cache")
        self.cache = self.path("cache-of-ours")
        self.environment["SALVOR_CACHE_DIR"] = str(self.cache)

    def fetched(self, *arguments, **options):
        """Of a command: what it got from the server, by kind."""
        self.path("requests").write_text("")
        self.result = self.salvor(self.repository, *arguments, **options)
        got = [line.split()[1] for line in self.path("requests").read_text().splitlines() if line.startswith("GET")]
        return {kind: sum(f"/r/{kind}/" in name for name in got) for kind in ("snapshots", "index", "data", "keys")}

    def cached_files(self, kind):
        return sorted(p for p in self.cache.glob(f"*/{kind}/**/*") if p.is_file())

    def test_what_never_changes_is_fetched_once(self):
        first = self.fetched("ls", "-l", "latest")
        listing = self.result.text
        self.assertEqual((first["snapshots"], first["index"]), (1, 1))
        self.assertGreater(first["data"], 0)
        again = self.fetched("ls", "-l", "latest")
        self.assertEqual((again["snapshots"], again["index"], again["data"]), (0, 0, 0))
        self.assertEqual(self.result.text, listing)
        self.assertEqual(again["keys"], 1)  # keys may be withdrawn: never from the cache
        self.assertTrue((self.cache / "CACHEDIR.TAG").exists())

    def test_without(self):
        for _ in range(2):
            self.assertEqual(self.fetched("--no-cache", "ls", "latest")["index"], 1)
        self.assertFalse(self.cache.exists())

    def test_damage_in_the_cache_is_noticed_and_mended(self):
        listing = self.salvor(self.repository, "ls", "-l", "latest").text
        for damage in (b"", b"other bytes", None):
            files = self.cached_files("snapshots") + self.cached_files("index") + self.cached_files("data")
            self.assertGreaterEqual(len(files), 3)
            for file in files:
                content = bytearray(file.read_bytes())
                content[len(content) // 2] ^= 1
                file.write_bytes(content if damage is None else damage)
            again = self.fetched("ls", "-l", "latest")
            self.assertEqual(self.result.text, listing)
            self.assertEqual((again["snapshots"], again["index"]), (1, 1))
            self.assertEqual(sum(self.fetched("ls", "-l", "latest").values()), 1)  # the key

    def test_check_does_not_believe_it(self):
        self.salvor(self.repository, "ls", "latest")
        self.salvor.check(self.repository)
        index = next((self.stored / "index").iterdir())
        content = bytearray(index.read_bytes())
        content[40] ^= 1
        index.chmod(0o600)
        index.write_bytes(content)
        found = self.salvor.check(self.repository, expect=range(1, 100))
        self.assertIn(index.name[:8], found.text + found.errors)

    def test_removed_snapshots_are_gone_from_it(self):
        self.salvor(self.repository, "snapshots")
        self.assertEqual(len(self.cached_files("snapshots")), 1)
        identity = self.salvor.snapshots(self.near, "--no-cache")[0]["id"]
        self.salvor(self.near, "--no-cache", "forget", identity)  # elsewhere
        self.assertEqual(self.salvor.snapshots(self.repository), [])
        self.assertEqual(self.cached_files("snapshots"), [])

    def test_many_processes(self):
        failures = []

        def run():
            result = self.salvor(self.repository, "ls", "-l", "latest", expect=None)
            failures.extend([] if result.code == 0 else [str(result)])
        threads = [threading.Thread(target=run) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(sum(self.fetched("ls", "-l", "latest").values()), 1)
        self.assertEqual([p for p in self.cache.rglob("*") if "-tmp-" in p.name], [])

    def test_a_cache_that_cannot_be_used_costs_only_speed(self):
        self.cache.write_bytes(b"a file in its place")
        result = self.salvor(self.repository, "ls", "latest")
        self.assertEqual(result.errors.count("the cache does not work"), 1, result)
        self.salvor.backup(self.repository, self.tree)

    @needs_root
    def test_a_full_disk_under_it_costs_only_speed(self):
        self.cache.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", self.cache], check=True)
        self.addCleanup(subprocess.run, ["umount", self.cache], check=False)
        (self.cache / "filler").write_bytes(bytes(12 << 10))
        result = self.salvor(self.repository, "ls", "latest")
        self.assertEqual(result.errors.count("the cache does not work"), 1, result)
        target = self.path("restored")
        self.salvor(self.repository, "restore", "latest", "--target", target)
        self.assert_same_tree(self.tree, target)

    def test_old_ones_are_cleaned(self):
        old = self.cache / ("a" * 64)
        old.mkdir(parents=True)
        os.utime(old, (0, 0))
        self.salvor(self.repository, "--cleanup-cache", "snapshots")
        self.assertFalse(old.exists())
        self.assertEqual(len(self.cached_files("snapshots")), 1)


class RoundTrips(TestCase):
    @limit(120)
    def test_first_listing_of_a_thousand_packs(self):
        """`snapshots` on a fresh machine: at most ten round trips that anything waits for."""
        stored = self.path("bucket-data") / "bucket/r"
        sealed.make_repository(stored, PASSWORD)
        tree = self.make_tree("tree", {"f": b""})
        for number in range(5):
            (tree / "f").write_bytes(self.bytes(1000 + number))
            self.salvor.backup(stored, tree)
        for number in range(1000):  # a listing of snapshots has no business with packs
            name = self.bytes(32).hex()
            (stored / "data" / name[:2] / name).write_bytes(b"x")
        server = servers.S3Server("versitygw", self.path("bucket-data"))
        self.addCleanup(server.stop)
        self.environment |= server.environment
        proxy = servers.FaultProxy(server.port, "--rtt", 40)
        self.addCleanup(proxy.stop)
        place = f"s3:http://127.0.0.1:{proxy.port}/bucket/r"
        self.assertEqual(len(self.salvor.snapshots(place)), 5)
        ours = proxy.tell("reset") and self.salvor.snapshots(place, "--no-cache") and proxy.stats()
        self.assertLessEqual(ours["chain"], 10, ours)
        proxy.tell("reset")
        self.peer(RESTIC_NEW)(place, "--no-cache", "snapshots")
        print({"ours": ours["chain"], "restic": proxy.stats()["chain"]})
