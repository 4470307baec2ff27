#!/usr/bin/env python3
"""The state of a file tree to the last byte and attribute, and the differences between two of them.

    treestate.py A B        compares; prints the differences; exit 1 when there are any
    treestate.py --count A  prints what A holds

This is the judge of every restore, so it shares no code with the program it judges: it uses system calls
only and follows nothing. Trees deeper than PATH_MAX are walked by directory descriptors.
"""
import argparse
import hashlib
import os
import stat
import sys
from dataclasses import dataclass, field

KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink",
         stat.S_IFIFO: "fifo", stat.S_IFBLK: "block device", stat.S_IFCHR: "character device",
         stat.S_IFSOCK: "socket"}


@dataclass
class Entry:
    """Everything about one name that a backup has to bring back."""
    kind: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int = 0            # files only
    sha256: str = ""         # files only
    target: bytes = b""      # symlinks only
    device: int = 0          # devices only
    xattrs: dict = field(default_factory=dict)
    linked_to: bytes = b""   # first name (in byte order) of the same file, when it has several in the tree
    blocks: int = 0          # allocated 512-byte blocks; never compared, for tests of sparse files


@dataclass
class State:
    entries: dict            # bytes path relative to the root ("." is the root) -> Entry

    def count(self, kind):
        return sum(1 for e in self.entries.values() if e.kind == kind)

    def bytes(self):
        return sum(e.size for e in self.entries.values() if not e.linked_to)


def _read_xattrs(path, fd=None):
    """Attributes by name; follows no link. A file system without attributes has none."""
    try:
        if fd is not None:
            return {n: os.getxattr(fd, n) for n in os.listxattr(fd)}
        names = os.listxattr(path, follow_symlinks=False)
        return {n: os.getxattr(path, n, follow_symlinks=False) for n in names}
    except OSError as error:
        if error.errno in (95, 22, 38):  # EOPNOTSUPP, EINVAL, ENOSYS
            return {}
        raise


def _hash(fd):
    digest = hashlib.sha256()
    while piece := os.read(fd, 1 << 20):
        digest.update(piece)
    return digest.hexdigest()


def capture(root, content=True):
    """Reads the whole tree under `root`. With content=False files are not read (sizes are)."""
    entries, first_name = {}, {}
    root_fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    info = os.fstat(root_fd)
    entries[b"."] = Entry("directory", stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid,
                          info.st_mtime_ns, xattrs=_read_xattrs(None, root_fd))
    pending = [(b"", root_fd)]
    while pending:
        prefix, fd = pending.pop()
        try:
            for name in sorted(os.fsencode(n) for n in os.listdir(fd)):
                path = prefix + name
                entry, info = _entry(fd, name, content)
                entries[path] = entry
                if info.st_nlink > 1 and entry.kind != "directory":
                    first_name.setdefault((info.st_dev, info.st_ino), []).append(path)
                if entry.kind == "directory":
                    child = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                    pending.append((path + b"/", child))
        finally:
            os.close(fd)
    for names in first_name.values():
        names.sort()
        for other in names[1:]:
            entries[other].linked_to = names[0]
    return State(entries)


def _entry(fd, name, content):
    info = os.stat(name, dir_fd=fd, follow_symlinks=False)
    kind = KINDS[stat.S_IFMT(info.st_mode)]
    entry = Entry(kind, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid, info.st_mtime_ns)
    entry.blocks = info.st_blocks
    entry.xattrs = _read_xattrs(b"/proc/self/fd/%d/%s" % (fd, name))
    if kind == "file":
        entry.size = info.st_size
        if content:
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=fd)
            try:
                entry.sha256 = _hash(file)
            finally:
                os.close(file)
    elif kind == "symlink":
        entry.target = os.readlink(name, dir_fd=fd)
    elif kind.endswith("device"):
        entry.device = info.st_rdev
    return entry, info


def differences(before, after, ignore=(), root_metadata=False):
    """Lines that say what differs. `ignore` names Entry fields. The root itself is judged only on demand."""
    lines = []
    for path in sorted(before.entries.keys() | after.entries.keys()):
        if path == b"." and not root_metadata:
            continue
        shown = printable(path)
        a, b = before.entries.get(path), after.entries.get(path)
        if a is None or b is None:
            lines.append(f"{shown}: {'missing' if b is None else 'should not be there'}"
                         f" ({(a or b).kind})")
            continue
        for key in ("kind", "mode", "uid", "gid", "mtime_ns", "size", "sha256", "target", "device",
                    "xattrs", "linked_to"):
            if key in ignore or getattr(a, key) == getattr(b, key):
                continue
            show = oct if key == "mode" else repr
            lines.append(f"{shown}: {key} {show(getattr(a, key))} became {show(getattr(b, key))}")
    return lines


def printable(path):
    text = os.fsdecode(path) if isinstance(path, bytes) else str(path)
    if len(text) > 200:
        text = text[:90] + "..." + text[-100:]
    return text.encode("unicode_escape", "surrogateescape").decode("ascii", "backslashreplace")


def main():
    parser = argparse.ArgumentParser(description="Compares two trees to the last byte and attribute.")
    parser.add_argument("first")
    parser.add_argument("second", nargs="?")
    parser.add_argument("--count", action="store_true", help="print what FIRST holds")
    parser.add_argument("--ignore", default="", metavar="FIELD,...", help="fields not to compare")
    arguments = parser.parse_args()
    first = capture(arguments.first, content=not arguments.count)
    if arguments.count:
        attributes = sum(len(e.xattrs) for e in first.entries.values())
        linked = sum(1 for e in first.entries.values() if e.linked_to)
        print(f"{first.count('file')} files, {first.count('directory')} directories, "
              f"{first.count('symlink')} symlinks, {linked} hard links, {attributes} attributes, "
              f"{first.bytes()} bytes")
        return 0
    if not arguments.second:
        parser.error("two trees are needed")
    second = capture(arguments.second)
    found = differences(first, second, ignore=tuple(arguments.ignore.split(",")), root_metadata=True)
    for line in found[:50]:
        print(line)
    if len(found) > 50:
        print(f"... and {len(found) - 50} more")
    print(f"{len(first.entries)} names compared, {len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
