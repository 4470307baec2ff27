"""What the tests of configured applications share: a salvor.yaml in a folder of its own."""
import json
import textwrap

from toolbox import PASSWORD, TestCase


class ApplicationCase(TestCase):
    """An application in `self.folder / "app"` with a repository `main` that is there."""

    def setUp(self):
        super().setUp()
        self.app = self.folder / "app"
        self.app.mkdir()
        self.repository = self.new_repository()
        self.state = self.folder / "state"
        self.sandboxes = self.folder / "sandboxes"

    def configure(self, text, **formats):
        """Writes salvor.yaml: a head, then `text`."""
        head = textwrap.dedent(f"""\
            application: shop
            state-directory: {self.state}
            repository: {self.repository}
            password: env:SHOP_PASSWORD
            sandboxes:
              default: {{directory: {self.sandboxes}}}
            """)
        (self.app / "salvor.yaml").write_text(head + textwrap.dedent(text).format(**formats))

    def shop(self, *arguments, env=None, **options):
        """salvor in the application's folder; no repository is named."""
        options.setdefault("cwd", self.app)
        return self.salvor(None, *arguments, password=None,
                           env={"SHOP_PASSWORD": PASSWORD, **(env or {})}, **options)

    def runs(self, result, kind=None):
        """The `run` objects of a --json run."""
        found = [m for m in result.lines() if m.get("message_type") == "run"]
        return [m for m in found if kind is None or m["kind"] == kind]

    @staticmethod
    def failed_checks(run):
        return [check for check in run["checks"] if not check["passed"]]

    def records(self):
        """All records of runs, as the catalog has them."""
        import sqlite3
        with sqlite3.connect(self.state / "catalog.db") as database:
            return [json.loads(row[0]) for row in database.execute("SELECT record FROM runs")]
