"""Repositories and keys: what one tool opens, locks out or lets in, the other does as well."""
from toolbox import PASSWORD, RESTIC_NEW, RESTIC_OLD, TestCase

WRONG = (1, 12)  # restic before 0.17 exits with 1


class _Keys(TestCase):
    peer_name = None

    def setUp(self):
        super().setUp()
        self.needs("key")
        self.restic = self.peer(self.peer_name)

    def password_file(self, text, name="password"):
        path = self.path(name)
        path.write_text(text)
        return path

    def test_init_in_either_version_is_a_repository_of_theirs(self):
        tree = self.make_tree("t", {"a": b"one"})
        for number, options in enumerate(([], ["--repository-version", "1"],
                                          ["--repository-version", "2"])):
            with self.subTest(options=options):
                repository = self.fast / f"ours{number}"
                self.salvor(repository, "init", *options)
                config = self.restic(repository, "cat", "config").json()
                self.assertEqual(config["version"], 1 if "1" in options else 2)
                self.restic.backup(repository, tree)
                self.restic.check(repository)
                self.salvor(repository, "init", expect=range(1, 128))  # never over an existing one
                self.assertEqual(len(self.restic.snapshots(repository)), 1)

    def test_our_key_costs_what_theirs_costs(self):
        """A repository we make is no easier to attack: scrypt parameters as restic's, or above."""
        repository = self.fast / "ours"
        self.salvor(repository, "init")
        name = next((repository / "keys").iterdir()).name
        key = self.restic(repository, "cat", "key", name).json()
        self.assertEqual(key["kdf"], "scrypt")
        self.assertGreaterEqual(key["N"], 32768)
        self.assertGreaterEqual(key["r"], 8)
        self.assertGreaterEqual(key["p"], 1)

    def test_copied_chunker_parameters(self):
        repository, copy = self.fast / "one", self.fast / "two"
        self.restic(repository, "init")
        self.salvor(copy, "init", "--from-repo", repository, "--copy-chunker-params",
                    "--from-password-file", self.password_file(PASSWORD))
        first, second = (self.restic(r, "cat", "config").json() for r in (repository, copy))
        self.assertEqual(first["chunker_polynomial"], second["chunker_polynomial"])
        self.assertNotEqual(first["id"], second["id"])

    def life_of_keys(self, one, two):
        """`one` changes keys, `two` feels it."""
        repository = self.new_repository()
        one(repository, "key", "add", "--new-password-file", self.password_file("second\n"))
        two(repository, "cat", "config", password="second")
        keys = two(repository, "key", "list", "--json").json()
        self.assertEqual(len(keys), 2, keys)
        self.assertEqual([k["current"] for k in keys].count(True), 1)
        # The old password goes; it was not the one in use.
        old = next(k["id"] for k in keys if k["current"])
        one(repository, "key", "remove", old, password="second")
        two(repository, "cat", "config", expect=WRONG)
        one(repository, "cat", "config", expect=WRONG)
        two(repository, "cat", "config", password="second")
        # And is changed in one step.
        one(repository, "key", "passwd", "--new-password-file", self.password_file("third\n"),
            password="second")
        two(repository, "cat", "config", password="second", expect=WRONG)
        two(repository, "cat", "config", password="third")
        self.assertEqual(len(list((repository / "keys").iterdir())), 1)
        # The last key, the one in use, cannot be removed.
        keys = one(repository, "key", "list", "--json", password="third").json()
        one(repository, "key", "remove", keys[0]["id"], password="third", expect=range(1, 128))
        two(repository, "cat", "config", password="third")

    def test_our_key_changes(self):
        self.life_of_keys(self.salvor, self.restic)

    def test_their_key_changes(self):
        self.life_of_keys(self.restic, self.salvor)

    def test_passwords_that_are_not_ascii(self):
        password = " p\u00e4\u00df\u6f22 \U0001f600\\\"' "
        repository = self.fast / "r"
        self.salvor(repository, "init", password=password)
        self.restic(repository, "cat", "config", password=password)
        self.restic(repository, "cat", "config", password=password.strip(), expect=WRONG)

    def test_every_way_to_give_a_password(self):
        repository = self.new_repository()
        file = self.password_file(f"\n {PASSWORD} \n\n")
        for variables in ({"RESTIC_PASSWORD": PASSWORD}, {"SALVOR_PASSWORD": PASSWORD},
                          {"RESTIC_PASSWORD_FILE": str(file)}, {"SALVOR_PASSWORD_FILE": str(file)},
                          {"RESTIC_PASSWORD_COMMAND": f"cat {file}"},
                          {"SALVOR_PASSWORD_COMMAND": f"cat {file}"}):
            with self.subTest(variables):
                self.salvor(repository, "snapshots", password=None, env=variables)
        self.salvor(repository, "snapshots", "--password-file", file, password=None)
        self.salvor(repository, "snapshots", "--password-command", f"cat {file}", password=None)
        self.salvor(None, "snapshots", env={"RESTIC_REPOSITORY": str(repository)})
        self.salvor(None, "snapshots", env={"SALVOR_REPOSITORY": str(repository)})


class WithOldRestic(_Keys):
    peer_name = RESTIC_OLD


class WithNewRestic(_Keys):
    peer_name = RESTIC_NEW
