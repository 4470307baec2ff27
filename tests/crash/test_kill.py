"""kill -9 at random moments: what was committed stays whole, whatever was going on.

Every operation is run to its end once to learn how long it takes, then killed again and again at a random
moment of that time. After each kill the real restic reads every byte of the repository and what was
committed is restored. SALVOR_KILLS is how often each operation is killed (CI: 6, which makes about 50 in
all; on demand, `scripts/test --slow` with SALVOR_KILLS=200 is well above a thousand).
"""
import os
import shutil
import subprocess
import time
import traceback

import treemaker
import treestate
from toolbox import PASSWORD, RESTIC_NEW, TestCase, limit, slow

KILLS = int(os.environ.get("SALVOR_KILLS", "6"))


class Kill(TestCase):
    def setUp(self):
        super().setUp()
        self.needs("backup", "restore", "check", "unlock")
        self.restic = self.peer(RESTIC_NEW)
        self.killed = self.rounds = 0
        self.pace = 1.0

    # A repository with history, made once a test and copied for each kill.

    def template(self, count=4):
        files = {f"d{i % 4}/f{i}": self.bytes(60_000 + 977 * i) for i in range(60)}
        files["big"] = self.bytes(12_000_000)
        files["text"] = self.words(3_000_000)
        self.tree = self.make_tree("tree", files)
        repository = self.new_repository()
        states = []
        for number in range(count):
            self.salvor.backup(repository, self.tree, "--time", f"2026-03-0{number + 1} 12:00:00")
            states.append(treestate.capture(self.tree))
            treemaker.change_some(self.tree, self.random, 0.3)
        ids = [s["id"] for s in self.restic.snapshots(repository)]
        self.history = dict(zip(ids, states, strict=True))
        return repository

    def fresh(self, template):
        copy = self.fast / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        subprocess.run(["cp", "-a", template, copy], check=True)
        return copy

    def duration(self, repository, *arguments, **options):
        begun = time.monotonic()
        self.salvor(repository, *arguments, **options)
        return time.monotonic() - begun

    def kill_once(self, repository, within, *arguments, **options):
        """Starts, kills at a random moment; returns whether it had already come to a good end."""
        process = self.background(self.salvor.start(repository, *arguments, **options))
        time.sleep(self.random.random() * within * self.pace)
        process.kill()
        result = self.finish(process, expect=(0, -9))
        # `within` was measured when the machine was busier or idler than now: keep to the living.
        self.pace = self.pace * 0.7 if result.code == 0 else min(1.0, self.pace * 1.1)
        self.killed += result.code == -9
        self.rounds += 1
        return result.code == 0

    def clear_lock(self, repository):
        """The dead one's lock blocks until somebody says so; `unlock` sees that its process is gone.

        What was killed while it wrote its lock leaves a temporary file, which is no lock: everyone ignores it.
        """
        self.salvor(repository, "unlock")
        self.assertEqual([name for name in os.listdir(repository / "locks") if "-tmp-" not in name], [])

    def assert_whole(self, repository, ids=None, password=PASSWORD):
        self.restic.check(repository, password=password)
        names = list(self.history if ids is None else ids)
        present = {s["id"] for s in self.restic.snapshots(repository, password=password)}
        self.assertLessEqual(set(names), present)
        name = self.random.choice(names)
        self.assert_restores(self.restic, repository, self.history[name], name, password=password)

    def enough_kills(self, of):
        self.assertGreater(self.killed, of // 4, "most runs ended before they were killed")

    # The operations

    def kill_backups(self, count):
        """One repository through all of it: garbage of killed runs piles up and must stay harmless."""
        repository = self.template(1)
        within = self.duration(repository, "backup", "--quiet", "--force", ".", cwd=self.tree)
        # That run saw the tree as it is now.
        for number in range(1, count + 1):
            before = {s["id"] for s in self.restic.snapshots(repository)}
            state = treestate.capture(self.tree)
            ended = self.kill_once(repository, within * 1.1, "backup", "--quiet", ".", cwd=self.tree)
            self.clear_lock(repository)
            new = {s["id"] for s in self.restic.snapshots(repository)} - before
            self.assertLessEqual(len(new), 1)
            if ended:
                self.assertEqual(len(new), 1, "the run said it was done, but there is no snapshot")
            for name in new:  # killed after its snapshot was there: then it counts
                self.history[name] = state
                self.assert_restores(self.restic, repository, state, name)
            self.assert_whole(repository)
            treemaker.change_some(self.tree, self.random, 0.4)
            self.thin_out()
            (self.tree / "big").write_bytes(self.bytes(12_000_000))
            if number % 40 == 0:  # else every later round reads gigabytes of garbage
                self.salvor(repository, "prune", "--max-unused", "0")
        self.enough_kills(count)
        self.needs("prune")
        self.salvor(repository, "prune", "--max-unused", "0")
        self.assert_whole(repository)

    def thin_out(self, most=200):
        """change_some adds a tenth of the files each time: a hundred rounds of it would make 50,000."""
        files = sorted(path for path in self.tree.rglob("*") if path.is_file())
        for path in self.random.sample(files, max(0, len(files) - most)):
            path.unlink()

    def kill_many(self, count, prepare, arguments, verify, options=None):
        """`arguments` is killed `count` times on copies of one repository, then verified."""
        template = self.template()
        prepare(template)
        within = self.duration(self.fresh(template), *arguments, **(options or {}))
        for _ in range(count):
            repository = self.fresh(template)
            self.kill_once(repository, within * 1.05, *arguments, **(options or {}))
            verify(repository)
        self.enough_kills(count)

    def forget_half(self, template):
        for name in list(self.history)[::2]:
            self.restic(template, "forget", name)
            del self.history[name]

    def kill_prunes(self, count):
        self.needs("prune")

        def verify(repository):
            self.clear_lock(repository)
            self.assert_whole(repository)
            self.salvor(repository, "prune", "--max-unused", "0")
            self.assert_whole(repository)
        self.kill_many(count, self.forget_half, ["prune", "--max-unused", "0"], verify)

    def kill_forgets(self, count):
        self.needs("forget", "prune")

        def verify(repository):
            self.clear_lock(repository)
            self.assert_whole(repository, list(self.history)[-1:])
            self.salvor(repository, "forget", "--keep-last", "1", "--prune")
            self.assert_whole(repository, list(self.history)[-1:])
        self.kill_many(count, lambda _: None, ["forget", "--keep-last", "1", "--prune"], verify)

    def kill_tags(self, count):
        self.needs("tag")

        def verify(repository):
            self.clear_lock(repository)
            self.restic.check(repository)
            snapshots = self.restic.snapshots(repository)
            self.assertLessEqual(set(self.history), {s.get("original", s["id"]) for s in snapshots})
        self.kill_many(count, lambda _: None, ["tag", "--add", "x"], verify)

    def kill_password_changes(self, count):
        """One of the two passwords opens it at every moment."""
        self.needs("key")
        file = self.path("new")
        file.write_text("another")

        def verify(repository):
            opened = [p for p in (PASSWORD, "another")
                      if self.restic(repository, "cat", "config", "--no-lock", password=p,
                                     expect=(0, 12)).code == 0]
            self.assertTrue(opened, "no password opens the repository")
            self.salvor(repository, "unlock", password=opened[0])
            self.assert_whole(repository, password=opened[0])
        self.kill_many(count, lambda _: None, ["key", "passwd", "--new-password-file", str(file)], verify)

    def kill_copies(self, count):
        self.needs("copy")
        file = self.path("password")
        file.write_text(PASSWORD)
        target = self.new_repository(name="target")
        empty = self.fast / "empty"
        subprocess.run(["cp", "-a", target, empty], check=True)
        source = self.template()

        def renew():
            shutil.rmtree(target)
            subprocess.run(["cp", "-a", empty, target], check=True)
        arguments = ["copy", "--from-repo", str(source), "--from-password-file", str(file)]
        within = self.duration(target, *arguments)
        for _ in range(count):
            renew()
            self.kill_once(target, within * 1.05, *arguments)
            for repository in (target, source):
                self.clear_lock(repository)
            self.restic.check(target)
            self.assert_whole(source)
            self.salvor(target, *arguments)  # goes on where it was
            self.restic.check(target)
            originals = [s["original"] for s in self.restic.snapshots(target)]
            self.assertEqual(sorted(originals), sorted(self.history))
        self.enough_kills(count)

    def kill_restores(self, count):
        """Run again, a restore finishes what it had begun."""
        repository = self.template(1)
        (name, state), target = next(iter(self.history.items())), self.path("target")
        arguments = ["restore", name, "--target", str(target)]
        within = self.duration(repository, *arguments)
        for _ in range(count):
            subprocess.run(["rm", "-rf", target], check=True)
            for _ in range(3):
                self.kill_once(repository, within * 1.05, *arguments)
                self.clear_lock(repository)
            self.salvor(repository, *arguments)
            self.assert_same_tree(state, target)
        self.enough_kills(count)

    def kill_migrations(self, count):
        self.needs("migrate")
        template = self.new_repository(1)
        tree = self.make_tree("t", {str(i): self.bytes(10_000) for i in range(20)})
        self.salvor.backup(template, tree)
        state = treestate.capture(tree)
        within = self.duration(self.fresh(template), "migrate", "upgrade_repo_v2")
        for _ in range(count):
            repository = self.fresh(template)
            self.kill_once(repository, within * 1.05, "migrate", "upgrade_repo_v2")
            self.clear_lock(repository)
            self.restic.check(repository)
            self.assertIn(self.restic(repository, "cat", "config").json()["version"], (1, 2))
            self.assert_restores(self.restic, repository, state)
        self.enough_kills(count)

    @limit(300)
    def test_backup(self):
        self.kill_backups(KILLS)

    @limit(300)
    def test_prune(self):
        self.kill_prunes(KILLS)

    @limit(300)
    def test_forget_with_prune(self):
        self.kill_forgets(KILLS)

    @limit(300)
    def test_tag(self):
        self.kill_tags(KILLS)

    @limit(300)
    def test_password_change(self):
        self.kill_password_changes(KILLS)

    @limit(300)
    def test_copy(self):
        self.kill_copies(KILLS)

    @limit(300)
    def test_restore(self):
        self.kill_restores(KILLS)

    @limit(300)
    def test_migration(self):
        self.kill_migrations(KILLS)

    @slow
    @limit(7200)
    def test_a_thousand_times(self):
        share = max(KILLS, 125)
        kills = rounds = 0
        for operation in (self.kill_backups, self.kill_prunes, self.kill_forgets, self.kill_tags,
                          self.kill_password_changes, self.kill_copies, self.kill_restores,
                          self.kill_migrations):
            with self.subTest(operation.__name__):
                self.masters, self.killed, self.rounds, self.pace = {}, 0, 0, 1.0
                for folder in self.fast.iterdir():
                    shutil.rmtree(folder)
                try:
                    operation(share)
                except Exception:  # unittest prints what fails in a subtest when all is over: hours later
                    print(f"{operation.__name__}, round {self.rounds}, seed {self.seed}:", flush=True)
                    traceback.print_exc()
                    raise
                finally:
                    kills, rounds = kills + self.killed, rounds + self.rounds
                    print(f"{operation.__name__}: {self.killed} killed in {self.rounds} runs; "
                          f"{kills} in {rounds} so far", flush=True)


class Interrupt(TestCase):
    """A run that is asked to stop keeps what it has uploaded."""

    def test_nothing_uploaded_is_lost(self):
        self.needs("backup")
        restic = self.peer(RESTIC_NEW)
        for number in (2, 15):
            with self.subTest(signal=number):
                repository = self.new_repository()
                # One file of known data, then input that never comes: the run stops while it waits.
                data = self.bytes(96 << 20)
                process = self.background(self.salvor.start(
                    repository, "backup", "--stdin", "--stdin-filename", "s", stdin=subprocess.PIPE))
                process.stdin.write(data)
                process.stdin.flush()
                # Two packs under their names; what still has a temporary one may be lost.
                deadline = time.monotonic() + 60
                while sum(len(p.name) == 64 for p in repository.glob("data/*/*")) < 2:
                    self.assertLess(time.monotonic(), deadline, "no pack was written")
                    time.sleep(0.05)
                process.send_signal(number)
                process.wait(timeout=30)
                self.finish(process, expect=(130, 143))
                self.assertEqual(restic.snapshots(repository), [])
                self.assertEqual(os.listdir(repository / "locks"), [])
                restic.check(repository)
                summary = self.salvor(repository, "backup", "--json", "--stdin", "--stdin-filename", "s",
                                      input=data).message("summary")
                self.assertLess(summary["data_added"], len(data) - (15 << 20), summary)
                restic.check(repository)
