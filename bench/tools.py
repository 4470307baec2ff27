"""How each program is asked to do the same things. Commands run in the folder that is backed up, with the
program's defaults; what differs between programs and matters is said beside it."""
import json
import os
import pathlib
import shutil
import subprocess

PASSWORD = "benchmark"


class Failed(Exception):
    pass


class Tool:
    """Subclasses say how. `repository` is a folder, `cache` this tool's own cache folder."""
    restic_format = True
    loses_directory_times = False  # known of a peer, and not ours to mend

    def __init__(self, name, binary, cache):
        self.name, self.binary, self.cache = name, str(binary), pathlib.Path(cache)

    def environment(self):
        return {"PATH": os.environ["PATH"], "HOME": str(self.cache), "TMPDIR": str(self.cache),
                "XDG_CACHE_HOME": str(self.cache), "RESTIC_PASSWORD": PASSWORD, "TZ": "UTC",
                "LANG": "C.UTF-8", "NO_COLOR": "1"}

    def run(self, command, **options):
        """For preparations that are not measured."""
        done = subprocess.run(command, env=self.environment(), capture_output=True, check=False, **options)
        if done.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))}: {done.stderr.decode(errors='replace')[-800:]}")
        return done.stdout

    def version(self):
        return self.run([self.binary, "version"]).decode().split("\n")[0].strip()

    def found_in(self, target):
        """Where below the restore target the tree is."""
        return target


class Restic(Tool):
    def backup(self, repository):
        return [self.binary, "-r", str(repository), "backup", "."]

    def restore(self, repository, target):
        return [self.binary, "-r", str(repository), "restore", "latest", "--target", str(target)]

    def check(self, repository):
        return [self.binary, "-r", str(repository), "check", "--read-data"]

    def prune(self, repository):
        return [self.binary, "-r", str(repository), "prune"]


class Rustic(Restic):
    """rustic deletes in two steps, the second a day later; here at once, or there would be nothing to
    compare."""

    def environment(self):
        return super().environment() | {"RUSTIC_PASSWORD": PASSWORD}

    def version(self):
        return self.run([self.binary, "--version"]).decode().strip()

    def restore(self, repository, target):
        return [self.binary, "-r", str(repository), "restore", "latest", str(target)]

    def prune(self, repository):
        return [self.binary, "-r", str(repository), "prune", "--instant-delete"]


class Kopia(Tool):
    restic_format = False
    loses_directory_times = True

    def environment(self):
        return super().environment() | {"KOPIA_PASSWORD": PASSWORD, "KOPIA_CHECK_FOR_UPDATES": "false",
                                        "KOPIA_CONFIG_PATH": str(self.cache / "kopia.config"),
                                        "KOPIA_CACHE_DIRECTORY": str(self.cache / "kopia"),
                                        "KOPIA_LOG_DIR": str(self.cache / "kopia-logs")}

    def version(self):
        return "kopia " + self.run([self.binary, "--version"]).decode().split()[0]

    def init(self, repository):
        pathlib.Path(repository).mkdir(parents=True)
        self.run([self.binary, "repository", "create", "filesystem", "--path", str(repository)])
        # Its default is not to compress at all.
        self.run([self.binary, "policy", "set", "--global", "--compression", "zstd"])

    def backup(self, repository):
        return [self.binary, "snapshot", "create", "."]

    def restore(self, repository, target):
        listed = json.loads(self.run([self.binary, "snapshot", "list", "--all", "--json"]))
        return [self.binary, "snapshot", "restore", listed[-1]["id"], str(target)]

    def check(self, repository):
        return [self.binary, "snapshot", "verify", "--verify-files-percent=100"]


class Borg(Tool):
    restic_format = False

    def environment(self):
        return super().environment() | {"BORG_PASSPHRASE": PASSWORD, "BORG_BASE_DIR": str(self.cache),
                                        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes"}

    def version(self):
        return self.run([self.binary, "--version"]).decode().strip()

    def init(self, repository):
        self.run([self.binary, "init", "--encryption", "repokey-blake2", str(repository)])

    def backup(self, repository):
        return [self.binary, "create", "--compression", "zstd,3", f"{repository}::{{now:%s%f}}", "."]

    def restore(self, repository, target):
        names = self.run([self.binary, "list", "--short", str(repository)]).decode().split()
        shutil.rmtree(target, ignore_errors=True)
        pathlib.Path(target).mkdir(parents=True)
        return ["sh", "-c", 'cd "$1" && exec "$2" extract "$3"', "sh", str(target), self.binary,
                f"{repository}::{names[-1]}"]

    def check(self, repository):
        return [self.binary, "check", "--verify-data", str(repository)]


KINDS = {"salvor": Restic, "restic": Restic, "restic-debian": Restic, "rustic": Rustic,
         "kopia": Kopia, "borg": Borg}
