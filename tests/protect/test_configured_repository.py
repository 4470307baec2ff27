"""Commands about one repository where nobody names it: that of salvor.yaml; -r and the environment always win."""
from protect_case import ApplicationCase
from toolbox import PASSWORD


class ConfiguredRepository(ApplicationCase):
    def setUp(self):
        super().setUp()
        self.data = self.make_tree("data", {"one": b"1", "two": b"2"})
        self.offsite = self.new_repository(name="offsite")
        self.other = self.new_repository(name="elsewhere")
        self.configure("""
            repositories:
              offsite: {offsite}
            sources:
              files: {{files: {data}, copies: offsite}}
            """, data=self.data, offsite=self.offsite)
        self.shop("backup", "files")

    def ids(self, *arguments, **options):
        return [s["id"] for s in self.shop("snapshots", "--json", *arguments, **options).json()]

    def test_reading_commands(self):
        main = [s["id"] for s in self.salvor.snapshots(self.repository)]
        self.assertEqual(self.ids(), main)
        listed = self.shop("ls", "latest")
        self.assertIn("one", listed.text)
        self.assertIn(f"repository main of {self.app}/salvor.yaml: {self.repository}", listed.errors)
        for command in (["stats"], ["check"], ["find", "one"], ["list", "packs"], ["key", "list"], ["cat", "config"],
                        ["evidence", "list"], ["audit", "show"], ["audit", "verify"], ["prune", "--dry-run"],
                        ["forget", "--keep-last", "1", "--dry-run"], ["diff", main[0], main[0]],
                        ["dump", "latest", f"{self.data}/one"]):
            self.shop(*command)

    def test_quiet_and_json_say_nothing_more(self):
        self.assertEqual(self.shop("snapshots", "-q").errors, "")
        self.assertEqual(self.shop("snapshots", "--json").errors, "")

    def test_restoring_a_snapshot(self):
        self.shop("restore", "latest", "--target", self.path("out"))
        self.assertEqual((self.path("out") / str(self.data).lstrip("/") / "one").read_bytes(), b"1")
        self.shop("restore", self.ids()[0][:8], "--target", self.path("again"))
        self.assertTrue((self.path("again") / str(self.data).lstrip("/") / "two").exists())
        refused = self.shop("restore", "fils", expect=64)
        self.assertIn("fils", refused.errors)

    def test_another_of_the_configuration(self):
        self.assertEqual(self.ids("--repository-name", "offsite"), [])
        self.shop("copy", "--repository-name", "offsite")
        self.assertEqual(len(self.ids("--repository-name", "offsite")), 1)
        self.shop("restore", "latest", "--repository-name", "offsite", "--target", self.path("out"))
        unknown = self.shop("snapshots", "--repository-name", "ofsite", expect=64)
        self.assertIn("main, offsite", unknown.errors)
        itself = self.shop("copy", expect=64)
        self.assertIn("its target", itself.errors)
        self.shop("snapshots", "--repository-name", "offsite", "-r", self.other, expect=64)

    def test_a_named_repository_always_wins(self):
        env = {"SALVOR_PASSWORD": PASSWORD}
        self.assertEqual(self.ids("-r", str(self.other), env=env), [])
        self.assertEqual(self.ids(env={**env, "SALVOR_REPOSITORY": str(self.other)}), [])
        self.assertEqual(self.ids(env={"RESTIC_PASSWORD": PASSWORD, "RESTIC_REPOSITORY": str(self.other)}), [])
        file = self.folder / "location"
        file.write_text(str(self.other))
        self.assertEqual(self.ids("--repository-file", str(file), env=env), [])
        # Even with a configuration that nobody could read.
        (self.app / "salvor.yaml").write_text("nonsense: [")
        self.assertEqual(self.ids("-r", str(self.other), env=env), [])
        self.shop("snapshots", expect=64)

    def test_the_command_lines_password_goes_before(self):
        wrong = self.folder / "wrong"
        wrong.write_text("wrong")
        self.shop("snapshots", "-p", str(wrong), expect=12)
        right = self.folder / "right"
        right.write_text(PASSWORD)
        self.shop("snapshots", "-p", str(right), env={"SHOP_PASSWORD": ""})

    def test_a_configuration_elsewhere(self):
        file = self.app / "salvor.yaml"
        self.assertEqual(len(self.ids("--config", str(file), cwd=self.folder)), 1)
        self.assertEqual(len(self.ids(env={"SALVOR_CONFIG": str(file)}, cwd=self.folder)), 1)
        self.shop("restore", "latest", "--config", str(file), "--target", self.path("out"), cwd=self.folder)
        nothing = self.shop("snapshots", cwd=self.folder, expect=64)
        self.assertIn("no repository is named", nothing.errors)

    def test_several_without_a_main_one(self):
        (self.app / "salvor.yaml").write_text(f"""
application: shop
state-directory: {self.state}
password: env:SHOP_PASSWORD
repositories: {{a: {self.repository}, b: {self.offsite}}}
sources: {{files: {{files: {self.data}, repository: a}}}}
""")
        refused = self.shop("snapshots", expect=64)
        self.assertIn("several repositories: a, b", refused.errors)
        self.assertIn("--repository-name", refused.errors)
        self.assertEqual(len(self.ids("--repository-name", "a")), 1)
