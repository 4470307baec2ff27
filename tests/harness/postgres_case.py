"""What the tests of physical backups share."""
import pathlib
import subprocess

import postgres
from toolbox import ROOT, TestCase


def server_binaries(case, version):
    found = subprocess.run([ROOT / "tests/servers/postgres", str(version)], capture_output=True, text=True,
                           check=False)
    if found.returncode != 0:
        case.skipTest(f"PostgreSQL {version} cannot be had: {found.stderr}")
    return pathlib.Path(found.stdout.splitlines()[-1])


def tools_18(case):
    """All programs of PostgreSQL 18, which also judge what 17 made."""
    found = subprocess.run([ROOT / "tests/servers/postgres-clients"], capture_output=True, text=True, check=False)
    if found.returncode != 0:
        case.skipTest(f"PostgreSQL 18's programs cannot be had: {found.stderr}")
    return pathlib.Path(found.stdout.splitlines()[-1])


class PostgresCase(TestCase):
    def setUp(self):
        super().setUp()
        self.place = postgres.Place(self)
        self.repository = self.new_repository()

    def back_up(self, cluster, *arguments, expect=0, **options):
        return self.salvor(self.repository, "postgres", "backup", "--json", "-d", cluster.url, *arguments,
                           expect=expect, **options)

    def restored(self, name="restored", snapshot="latest", tool=None, binaries=postgres.DEBIAN_15):
        """The snapshot, restored as any restic would."""
        target = self.place.path / name
        target.mkdir(mode=0o700)
        (tool or self.salvor).restore(self.repository, target, snapshot)
        self.place.own(target)
        return postgres.Cluster(self, target, binaries)

    def put_tablespaces_in_place(self, cluster):
        """What docs/postgres.md tells somebody to do who has only restic."""
        moved = []
        for line in (cluster.data / "tablespace_map").read_text().splitlines():
            oid, path = line.split(" ", 1)
            (cluster.data / "pg_tblspc" / oid).rename(path)
            moved.append(path)
        return moved
