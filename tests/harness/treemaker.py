"""Trees with everything in them that a backup can get wrong (docs/format.md, sections 6 and 17.5)."""
import errno
import os
import stat
import struct

ODD_NAMES = [
    b'q"uote', b"back\\slash", b"new\nline", b"tab\tx", b"\x01\x07\x08\x0b\x0c\x1b", b"\x7f",
    b"<a&b>", b"\xff\xfe", "\u00a0".encode(), "\u2028".encode(), "\u200b".encode(),
    "\U0010ffff".encode(), b"\xed\xa0\x80", b"\xc0\xaf", "\ufffd".encode(), "\U0001f600".encode(),
    "\u6f22\u5b57".encode(), "e\u0301".encode(), b"it's", b"$HOME", b"*", b"?", b"[a-z]", b" ", b" lead",
    b"trail ", b"-rf", b"--", b"...", b".hidden", b"a:b", b"%00", b"!", b"~", b"x" * 255, "\u00ad".encode(),
    "\ufeff".encode(), "\ue000".encode(), "\u3000".encode(), b"\xe2\x80", b"caf\xe9", b"#tag", b"{x}", b"^",
]


def acl(*entries):
    """A POSIX ACL as the kernel takes it: (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in entries)


USER_OBJ, USER, GROUP_OBJ, MASK, OTHER, NO_ID = 1, 2, 4, 16, 32, 0xFFFFFFFF


def _attribute(path, name, value, follow=True):
    """Sets an attribute where the file system can; says whether it could."""
    try:
        os.setxattr(path, name, value, follow_symlinks=follow)
        return True
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EPERM):
            return False
        raise


def make_everything(root, rng, old_restic=False):
    """Fills `root` with every kind of file and attribute.

    With `old_restic`, leaves out what restic 0.14 cannot record (link targets that are not UTF-8, attributes
    of links) or encodes otherwise than newer ones (characters of Unicode 14 and later): with those, trees of
    the two can never be equal.
    """
    root = os.fsencode(root)
    os.makedirs(root, exist_ok=True)

    def at(*parts):
        return os.path.join(root, *parts)

    def write(path, data, mode=0o644):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, mode)

    for name in ODD_NAMES:
        write(at(b"names", name), name)
    write(at(b"dirs-with-odd-names", b"\xfe", b"in\nside"), b"x")
    if not old_restic:
        write(at(b"names", "\U0001fae8".encode()), b"a character of Unicode 15")
    write(at(b"empty"), b"")
    os.makedirs(at(b"empty-dir", b"nested"))
    for mode in (0o000, 0o400, 0o600, 0o640, 0o777, 0o4755, 0o2755, 0o1644, 0o6711):
        write(at(b"modes", b"%o" % mode), b"%o" % mode, mode)
    os.makedirs(at(b"sticky"))
    os.chmod(at(b"sticky"), 0o1777)
    os.makedirs(at(b"setgid"))
    os.chmod(at(b"setgid"), 0o2775)

    # Contents on both sides of every limit of the chunker: 512 KiB minimum, 8 MiB maximum, zero runs.
    half = 512 << 10
    for size in (1, 63, 64, 65, half - 1, half, half + 1, 3 * half + 17):
        write(at(b"sizes", b"%d" % size), rng.randbytes(size))
    write(at(b"sizes", b"constant"), b"\xaa" * ((8 << 20) + 4097))
    write(at(b"sizes", b"text"), b"all work and no play makes jack a dull boy\n" * 60000)
    with open(at(b"sizes", b"sparse"), "wb") as file:
        file.seek(5 << 20)
        file.write(b"island")
        file.truncate(12 << 20)
    with open(at(b"sizes", b"hole-only"), "wb") as file:
        file.truncate((2 << 20) + 5)
    same = rng.randbytes(700_000)
    write(at(b"copies", b"one"), same)
    write(at(b"copies", b"two"), same)

    write(at(b"links", b"original"), b"hard links share this")
    os.link(at(b"links", b"original"), at(b"links", b"same"))
    os.makedirs(at(b"links", b"below"))
    os.link(at(b"links", b"original"), at(b"links", b"below", b"same"))
    for number, target in enumerate([b"original", b"../empty", b"dangling/nowhere", b"/etc/hostname", b".",
                                     b"loop", b"a b\"c\\d\x01\t", b"t" * 1000, "\u6f22".encode()]):
        os.symlink(target, at(b"links", b"to-%d" % number))
    if not old_restic:
        os.symlink(b"\xff\xfe bytes \xed\xa0\x80", at(b"links", b"to-bytes"))
        _attribute(at(b"links", b"to-0"), "trusted.salvor", b"on a link", follow=False)
    os.mkfifo(at(b"fifo"), 0o640)

    write(at(b"attributes", b"file"), b"x")
    if _attribute(at(b"attributes", b"file"), "user.salvor", b"\x00\xff binary"):
        _attribute(at(b"attributes", b"file"), "user.empty", b"")
        _attribute(at(b"attributes", b"file"), "user.long", rng.randbytes(1500))
        _attribute(at(b"attributes"), "user.on-a-directory", b"yes")
    write(at(b"attributes", b"acl"), b"x")
    own = acl((USER_OBJ, 6, NO_ID), (USER, 4, 12345), (GROUP_OBJ, 4, NO_ID), (MASK, 4, NO_ID),
              (OTHER, 0, NO_ID))
    _attribute(at(b"attributes", b"acl"), "system.posix_acl_access", own)
    os.makedirs(at(b"attributes", b"acl-dir"))
    _attribute(at(b"attributes", b"acl-dir"), "system.posix_acl_default", own)

    if os.geteuid() == 0:
        write(at(b"owners", b"somebody"), b"x")
        os.chown(at(b"owners", b"somebody"), 4242, 4343)
        os.symlink(b"x", at(b"owners", b"link"))
        os.lchown(at(b"owners", b"link"), 0, 4343)
        write(at(b"owners", b"setuid"), b"x")
        os.chown(at(b"owners", b"setuid"), 4242, 4343)
        os.chmod(at(b"owners", b"setuid"), 0o4755)
        try:
            os.makedirs(at(b"devices"))
            os.mknod(at(b"devices", b"null"), 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            os.mknod(at(b"devices", b"disk"), 0o600 | stat.S_IFBLK, os.makedev(7, 300))
        except PermissionError:
            pass

    # A path close to the limit of 4,095 bytes that the kernel sets, counted from wherever it is restored.
    folder, room = at(b"deep"), 3600
    os.makedirs(folder)
    while len(folder) + 201 < room:
        folder = os.path.join(folder, b"d" * 200)
    os.makedirs(folder)
    write(os.path.join(folder, b"bottom"), b"made it")

    times = [0, 1, 123_456_789, 1_700_000_000_123_456_789, 1_700_000_000_100_000_000, 4_102_444_800 * 10**9,
             -86_400 * 10**9 + 5]
    for number, stamp in enumerate(times):
        write(at(b"times", b"%d" % number), b"x")
        os.utime(at(b"times", b"%d" % number), ns=(stamp, stamp))
    for number, (folder, _, _) in enumerate(os.walk(root, topdown=False)):
        if folder != root:
            stamp = 1_600_000_000_000_000_000 + number * 1_000_000_007
            os.utime(folder, ns=(stamp, stamp), follow_symlinks=False)
    os.utime(at(b"links", b"to-1"), ns=(5, 1_234_567_890_987_654_321), follow_symlinks=False)


def change_some(root, rng, share=0.1):
    """Edits, adds, removes and renames some files of a tree of plain files; returns how many changed."""
    root, changed = os.fsencode(root), 0
    files = sorted(os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names)
    for path in files:
        if (rng.random() >= share or not stat.S_ISREG(os.lstat(path).st_mode)
                or len(os.path.basename(path)) > 240):  # no room for a suffix
            continue
        changed += 1
        action = rng.randrange(4)
        if action == 0:
            with open(path, "r+b") as file:
                file.seek(rng.randrange(os.path.getsize(path) + 1))
                file.write(rng.randbytes(100))
        elif action == 1:
            with open(path, "ab") as file:
                file.write(rng.randbytes(5000))
        elif action == 2:
            os.rename(path, path + b".moved")
        else:
            with open(path + b".new", "wb") as file:
                file.write(rng.randbytes(2000))
    return changed
