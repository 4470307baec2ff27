"""Just enough of the repository format, in plain Python, to make repositories whose key opens at once.

restic spends half a second of key derivation on every command, by design. A suite of a thousand commands
spends ten minutes on it and learns nothing. `make_repository` writes a key file with the smallest scrypt
cost that both tools accept, so everything else stays real. Tests about keys and init use the tools' own.

The format is described in docs/format.md. Slow and not constant-time: for tests only.
"""
import base64
import hashlib
import json
import os
import pathlib
import struct

POLYNOMIAL = "3da3358b4dc173"  # irreducible, degree 53


def _sbox():
    p = q = 1
    box = [0] * 256
    while True:
        p ^= (p << 1) ^ (0x11B if p & 0x80 else 0)
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        if q & 0x80:
            q ^= 0x09
        rotations = [(q << n | q >> (8 - n)) & 0xFF for n in range(5)]
        box[p] = rotations[0] ^ rotations[1] ^ rotations[2] ^ rotations[3] ^ rotations[4] ^ 0x63
        if p == 1:
            break
    box[0] = 0x63
    return bytes(box)


SBOX = _sbox()


def _double(x):
    return ((x << 1) ^ (0x1B if x & 0x80 else 0)) & 0xFF


def _expand(key):
    words = [list(key[i:i + 4]) for i in range(0, len(key), 4)]
    count, rcon = len(words), 1
    for i in range(count, 4 * (count + 7)):
        word = list(words[-1])
        if i % count == 0:
            word = [SBOX[b] for b in word[1:] + word[:1]]
            word[0] ^= rcon
            rcon = _double(rcon)
        elif count > 6 and i % count == 4:
            word = [SBOX[b] for b in word]
        words.append([a ^ b for a, b in zip(words[i - count], word)])
    return [sum(words[i:i + 4], []) for i in range(0, len(words), 4)]


def aes_block(key, block):
    """One AES block under a key of 16 or 32 bytes (FIPS 197)."""
    rounds = _expand(key)
    state = [a ^ b for a, b in zip(block, rounds[0])]
    for number, round_key in enumerate(rounds[1:], 1):
        state = [SBOX[b] for b in state]
        state = [state[(4 * (c + r) + r) % 16] for c in range(4) for r in range(4)]
        if number < len(rounds) - 1:
            mixed = []
            for c in range(4):
                a = state[4 * c:4 * c + 4]
                total = a[0] ^ a[1] ^ a[2] ^ a[3]
                mixed += [a[i] ^ total ^ _double(a[i] ^ a[(i + 1) % 4]) for i in range(4)]
            state = mixed
        state = [a ^ b for a, b in zip(state, round_key)]
    return bytes(state)


def _poly1305(r, s, message):
    r = int.from_bytes(r, "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(message), 16):
        total = (total + int.from_bytes(message[i:i + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((total + int.from_bytes(s, "little")) & ((1 << 128) - 1)).to_bytes(16, "little")


class Key:
    def __init__(self, encrypt, mac_k, mac_r):
        self.encrypt, self.mac_k, self.mac_r = encrypt, mac_k, mac_r

    @classmethod
    def random(cls):
        return cls(os.urandom(32), os.urandom(16), os.urandom(16))

    @classmethod
    def from_password(cls, password, salt, n, r, p):
        out = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, dklen=64, maxmem=1 << 28)
        return cls(out[:32], out[32:48], out[48:])

    @classmethod
    def from_json(cls, text):
        parsed = json.loads(text)
        decode = base64.b64decode
        return cls(decode(parsed["encrypt"]), decode(parsed["mac"]["k"]), decode(parsed["mac"]["r"]))

    def to_json(self):
        def encode(data):
            return base64.b64encode(data).decode()
        return ('{"mac":{"k":"%s","r":"%s"},"encrypt":"%s"}' % (
            encode(self.mac_k), encode(self.mac_r), encode(self.encrypt))).encode()

    def _stream(self, iv, data):
        counter, out = int.from_bytes(iv, "big"), bytearray()
        for i in range(0, len(data), 16):
            block = aes_block(self.encrypt, (counter % (1 << 128)).to_bytes(16, "big"))
            out += bytes(a ^ b for a, b in zip(data[i:i + 16], block))
            counter += 1
        return bytes(out)

    def seal(self, plain):
        iv = os.urandom(16)
        cipher = self._stream(iv, plain)
        return iv + cipher + _poly1305(self.mac_r, aes_block(self.mac_k, iv), cipher)

    def open(self, sealed):
        iv, cipher, tag = sealed[:16], sealed[16:-16], sealed[-16:]
        if _poly1305(self.mac_r, aes_block(self.mac_k, iv), cipher) != tag:
            raise ValueError("wrong key or damaged data")
        return self._stream(iv, cipher)


def write_key(repository, master, password, n=1024):
    """Adds a key file that wraps `master`; returns its id."""
    salt = os.urandom(64)
    user = Key.from_password(password, salt, n, 8, 1)
    text = json.dumps({
        "created": "2026-01-02T03:04:05Z", "username": "test", "hostname": "test", "kdf": "scrypt",
        "N": n, "r": 8, "p": 1, "salt": base64.b64encode(salt).decode(),
        "data": base64.b64encode(user.seal(master.to_json())).decode(),
    }, separators=(",", ":")).encode()
    return write_file(repository, "keys", text)


def write_file(repository, kind, data):
    """Stores `data` under its own hash, as every file but config is; returns the id."""
    name = hashlib.sha256(data).hexdigest()
    folder = pathlib.Path(repository) / kind
    path = folder / name[:2] / name if kind == "data" else folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o400)
    return name


def make_repository(path, password, version=2):
    """An empty repository, as `init` leaves it, with a key that opens in milliseconds; returns its key."""
    path = pathlib.Path(path)
    for folder in ("data", "index", "keys", "locks", "snapshots"):
        (path / folder).mkdir(parents=True, mode=0o700)
    for number in range(256):
        (path / "data" / f"{number:02x}").mkdir(mode=0o700)
    master = Key.random()
    write_key(path, master, password)
    config = '{"version":%d,"id":"%s","chunker_polynomial":"%s"}' % (
        version, os.urandom(32).hex(), POLYNOMIAL)
    (path / "config").write_bytes(master.seal(config.encode()))
    (path / "config").chmod(0o400)
    return master


def write_lock(repository, master, version, when, exclusive, hostname, pid):
    """A lock as another machine would leave it. Version 2 files may hold raw JSON, which needs no zstd."""
    del version  # raw JSON is legal in both
    text = json.dumps({"time": when, "exclusive": exclusive, "hostname": hostname,
                       "username": "somebody", "pid": pid}, separators=(",", ":"))
    return write_file(repository, "locks", master.seal(text.encode()))


def pack_entries(data, master):
    """(type, offset, length, id) of each blob in a pack file, from its trailer."""
    length = struct.unpack("<I", data[-4:])[0]
    header = master.open(data[-4 - length:-4])
    at = offset = 0
    while at < len(header):
        kind, sealed = header[at], struct.unpack("<I", header[at + 1:at + 5])[0]
        size = 41 if kind in (2, 3) else 37
        yield kind, offset, sealed, header[at + size - 32:at + size].hex()
        offset += sealed
        at += size


def write_pack(repository, master, kind, blobs):
    """One pack of raw blobs ("data" or "tree"); returns its entry for an index."""
    body, header, listed = bytearray(), bytearray(), []
    for blob in blobs:
        box = master.seal(blob)
        name = hashlib.sha256(blob)
        listed.append({"id": name.hexdigest(), "type": kind, "offset": len(body), "length": len(box)})
        header += struct.pack("<BI", 1 if kind == "tree" else 0, len(box)) + name.digest()
        body += box
    box = master.seal(bytes(header))
    pack = write_file(repository, "data", bytes(body) + box + struct.pack("<I", len(box)))
    return {"id": pack, "blobs": listed}


def write_index(repository, master, packs):
    text = json.dumps({"packs": packs}, separators=(",", ":")) + "\n"
    return write_file(repository, "index", master.seal(text.encode()))


def write_snapshot(repository, master, tree, when="2026-01-02T03:04:05Z", paths=("/made",)):
    text = json.dumps({"time": when, "tree": tree, "paths": list(paths), "hostname": "made",
                       "username": "made"}, separators=(",", ":"))
    return write_file(repository, "snapshots", master.seal(text.encode()))


def node(name, kind="file", **fields):
    """A tree node with everything that must be there; names go in as they stand, lies included."""
    modes = {"dir": 1 << 31 | 0o755, "symlink": 1 << 27 | 0o777}
    made = {"name": name, "type": kind, "mode": modes.get(kind, 0o644),
            "mtime": "2026-01-02T03:04:05Z", "atime": "2026-01-02T03:04:05Z",
            "ctime": "2026-01-02T03:04:05Z", "uid": os.getuid(), "gid": os.getgid()}
    if kind == "file":
        made.update(size=fields.pop("size", 0), links=1)
    content = fields.pop("content", [] if kind == "file" else None)
    made.update({k: v for k, v in fields.items() if k != "subtree"})
    made["content"] = content
    if "subtree" in fields:
        made["subtree"] = fields["subtree"]
    return made


def tree_blob(nodes):
    return (json.dumps({"nodes": nodes}, separators=(",", ":")) + "\n").encode()


def blob_id(data):
    return hashlib.sha256(data).hexdigest()
