"""The data that is measured. The same on every run of one machine: chosen by hash, made from seeds."""
import hashlib
import os
import pathlib
import random
import shutil
import stat

MIXED_BYTES, MIXED_FILES = 1_500_000_000, 11_000
MIXED_FROM = ("/usr/bin", "/usr/sbin", "/usr/lib", "/usr/include", "/usr/share", "/usr/local")
SMALL_FILES = 100_000
STAMP = 1_700_000_000 * 10**9


def _by_hash(path):
    return hashlib.sha1(path.encode("utf-8", "surrogateescape")).digest()


def _candidates():
    for root in MIXED_FROM:
        for folder, folders, names in os.walk(root):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                info = os.lstat(path)
                if stat.S_ISREG(info.st_mode) and 0 < info.st_size < 60_000_000:
                    yield path, info.st_size


def make_mixed(target, scale):
    """Programs and text of this machine's /usr: big files first to their share of the bytes, then others
    until the number of files is reached. What a small /usr lacks is generated."""
    want_bytes, want_files = int(MIXED_BYTES * scale), int(MIXED_FILES * scale)
    files = sorted(_candidates(), key=lambda item: _by_hash(item[0]))
    chosen, total = [], 0
    for path, size in (f for f in files if f[1] >= 100_000):
        if total + size <= want_bytes * 0.88:
            chosen.append(path)
            total += size
    for path, size in (f for f in files if f[1] < 100_000):
        if len(chosen) >= want_files or total >= want_bytes:
            break
        chosen.append(path)
        total += size
    for path in chosen:
        copy = target / path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        shutil.copystat(path, copy)
    rng, number = random.Random(1), 0
    words = [bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 10))) for _ in range(5000)]
    while total < want_bytes * 0.95:
        text = b" ".join(rng.choices(words, k=30_000))
        path = target / "generated" / f"{number % 50}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
        total += len(text)
        number += 1


def make_random(target, scale):
    rng = random.Random(2)
    with open(target / "random.bin", "wb") as file:
        for _ in range(max(1, int(1024 * scale))):
            file.write(rng.randbytes(1 << 20))


def make_small(target, scale):
    """100,000 files of 0 to 8 KiB, half text, half random, 100 a directory."""
    rng = random.Random(3)
    words = [bytes(rng.choices(b"etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(2000)]
    for number in range(int(SMALL_FILES * scale)):
        folder = target / f"{number // 10_000:02}" / f"{number // 100:04}"
        if number % 100 == 0:
            folder.mkdir(parents=True, exist_ok=True)
        size = rng.randrange(8192)
        data = rng.randbytes(size) if number % 2 else b" ".join(rng.choices(words, k=size // 6))
        (folder / f"{number:06}.dat").write_bytes(data)


def make_history(target, scale):
    """What the 50 snapshots are made of; `step_history` changes it from one to the next."""
    rng = random.Random(4)
    for number in range(int(3000 * scale)):
        folder = target / f"{number % 60:02}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}").write_bytes(rng.randbytes(rng.randrange(1000, 200_000)))


def step_history(target, step):
    """Rewrites every 20th file or so: each snapshot leaves some garbage in many packs."""
    rng = random.Random(1000 + step)
    for path in sorted(p for p in target.rglob("*") if p.is_file()):
        if rng.random() < 0.05:
            path.write_bytes(rng.randbytes(rng.randrange(1000, 200_000)))


def change_one_percent(target):
    """Overwrites 4 KiB in the middle of every hundredth file, in a new inode as editors do; returns how
    many there were."""
    paths = sorted(p for p in target.rglob("*") if p.is_file() and not p.is_symlink())[::100]
    for number, path in enumerate(paths):
        data = bytearray(path.read_bytes())
        middle = len(data) // 2
        data[middle:middle + 4096] = random.Random(number).randbytes(4096)
        path.with_name(path.name + ".new").write_bytes(data)
        os.replace(path.with_name(path.name + ".new"), path)
    return len(paths)


MAKERS = {"mixed": make_mixed, "random": make_random, "small": make_small, "history": make_history}


def ensure(place, name, scale):
    """The data set `name` below `place`; made when it is not there in this size."""
    folder = pathlib.Path(place) / f"{name}-{scale:g}"
    if not (folder.parent / (folder.name + ".done")).exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        MAKERS[name](folder, scale)
        (folder.parent / (folder.name + ".done")).write_text("")
    return folder


def measure(folder):
    """(bytes, files)"""
    total = files = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            info = os.lstat(os.path.join(parent, name))
            if stat.S_ISREG(info.st_mode):
                total += info.st_size
                files += 1
    return total, files
