#include "evidence/runbook_commands.h"

#include <fmt/format.h>

#include "evidence/document.h"
#include "model/settings.h"

namespace salvor::runbook {
namespace {

// Where the password is, as both programs are told.
std::string password_lines(const SecretReference& reference) {
  const std::string name = reference.name;
  std::string lines;
  for (const char* program : {"SALVOR", "RESTIC"}) {
    switch (reference.kind) {
      case SecretReference::kFile:
        lines += fmt::format("export {}_PASSWORD_FILE={}\n", program, shell_word(name));
        break;
      case SecretReference::kCommand:
        lines += fmt::format("export {}_PASSWORD_COMMAND={}\n", program, shell_word(name));
        break;
      case SecretReference::kEnvironment:
        lines += fmt::format("export {}_PASSWORD=\"${{{}}}\"\n", program, name);
        break;
      case SecretReference::kCredential:
        lines += fmt::format("export {}_PASSWORD_FILE=\"${{CREDENTIALS_DIRECTORY}}\"/{}\n", program,
                             shell_word(name));
        break;
    }
  }
  return lines;
}

std::string environment_line(const std::string& name, const std::string& value) {
  const auto reference = SecretReference::parse(value);
  if (!reference) {
    return fmt::format("export {}={}\n", name, shell_word(value));
  }
  switch (reference->kind) {
    case SecretReference::kFile:
      return fmt::format("{0}=$(cat {1}); export {0}\n", name, shell_word(reference->name));
    case SecretReference::kCommand:
      return fmt::format("{0}=$({1}); export {0}\n", name, reference->name);
    case SecretReference::kEnvironment:
      return fmt::format("export {}=\"${{{}}}\"\n", name, reference->name);
    case SecretReference::kCredential:
      return fmt::format("{0}=$(cat \"$CREDENTIALS_DIRECTORY\"/{1}); export {0}\n", name,
                         shell_word(reference->name));
  }
  return {};
}

std::string place(const std::string& name) {
  return "\"$RECOVERY\"/" + shell_word(name);
}

}  // namespace

std::string setup(const RepositorySpec& repository) {
  const std::string location = shell_word(repository.location);
  std::string text =
      "export RECOVERY=\"${RECOVERY:-$PWD/recovery}\"   # an empty directory with room for "
      "everything\n"
      "mkdir -p \"$RECOVERY\"\n"
      "export SALVOR_REPOSITORY=" +
      location + "\nexport RESTIC_REPOSITORY=" + location + "\n";
  text += password_lines(repository.password);
  for (const auto& [name, value] : repository.environment) {
    text += environment_line(name, value);
  }
  return text;
}

std::string files_with_salvor(const std::string& name, const std::string& tag) {
  return fmt::format(
      "salvor snapshots --tag {0}\nsalvor restore latest --tag {0} --target {1}\nls {1}\n",
      shell_word(tag), place(name));
}

std::string files_with_restic(const std::string& name, const std::string& tag) {
  return fmt::format(
      "restic snapshots --tag {0}\nrestic restore latest --tag {0} --target {1} --verify\nls {1}\n",
      shell_word(tag), place(name));
}

std::string cluster_with_salvor(const std::string& name, const std::string& tag) {
  return fmt::format(
      "snapshot=$(salvor snapshots --json --tag {0} | python3 -c \\\n"
      "  'import json, sys; print(max(json.load(sys.stdin), key=lambda s: s[\"time\"])[\"id\"])')\n"
      "salvor postgres restore \"$snapshot\" --target {1} --copy\n",
      shell_word(tag), place(name));
}

std::string cluster_with_restic(const std::string& name, const std::string& tag) {
  return fmt::format(
      R"sh(restic restore latest --tag {0} --target {1}
cd {1}
chmod 700 .
if [ -s tablespace_map ]; then
  while read -r oid path; do
    mkdir -p "$(dirname "$path")" && mv "pg_tblspc/$oid" "$path" && ln -s "$path" "pg_tblspc/$oid"
  done < tablespace_map
fi
# The log since the snapshot, out of salvor/ in the repository. From a repository that is not a
# local directory copy it first, e.g. `rclone copy remote:bucket/salvor/journal journal`, and set
# JOURNAL.
JOURNAL="${{JOURNAL:-$RESTIC_REPOSITORY/salvor/journal}}"
mkdir -p {1}-wal
controldata=/usr/lib/postgresql/$(cat PG_VERSION)/bin/pg_controldata
system=$(LC_ALL=C "$controldata" . | sed -n 's/^Database system identifier: *//p')
if [ -d "$JOURNAL/postgresql-$system/wal" ]; then
  restic cat masterkey |
    python3 "$RECOVERY"/read-journal.py "$JOURNAL/postgresql-$system/wal" {1}-wal
fi
cat >> postgresql.auto.conf <<END
restore_command = 'cp "$RECOVERY/{2}-wal/%f" "%p"'
recovery_target_timeline = 'latest'
archive_mode = 'off'
END
# To stop at a moment add: recovery_target_time = '2026-11-21 08:00:00+00'
#                          recovery_target_action = 'promote'
touch recovery.signal
cd - > /dev/null
)sh",
      shell_word(tag), place(name), name);
}

std::string cluster_start(const std::string& name, const SourceSpec& source) {
  std::string text = fmt::format(
      R"sh(data={0}
bin=/usr/lib/postgresql/$(cat "$data"/PG_VERSION)/bin
as_postgres() {{
  if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}}
socket=$(mktemp -d /tmp/recovery.XXXXXX)   # only the server's user gets at it
if [ "$(id -u)" = 0 ]; then
  chmod a+x "$RECOVERY"
  chown -R postgres: "$data" "$socket"
  [ ! -d "$data"-wal ] || chown -R postgres: "$data"-wal
fi
as_postgres "$bin"/pg_ctl -D "$data" -w -t 3600 -s -l "$data"/start.log \
  -o "-c listen_addresses='' -c unix_socket_directories=$socket -p 5432" start
ask() {{ as_postgres "$bin"/psql -XAtq -v ON_ERROR_STOP=1 -h "$socket" -U {1} -d "$1" -c "$2"; }}
until [ "$(ask postgres 'SELECT pg_is_in_recovery()')" = f ]; do sleep 1; done
ask postgres "SELECT datname, pg_size_pretty(pg_database_size(datname)) FROM pg_database"
)sh",
      place(name), shell_word(source.settings.text("superuser", "postgres")));
  for (const std::string& assertion : source.assertions) {
    text += "ask postgres " + shell_word(assertion) + "   # must give t\n";
  }
  text +=
      "# When all is well: as_postgres \"$bin\"/pg_ctl -D \"$data\" -m fast stop, put the "
      "directory "
      "where the server expects it,\n# and start the server as always.\n";
  return text;
}

std::string dump_with_restic(const std::string& name, const std::string& tag) {
  return fmt::format(
      "restic restore latest --tag {0} --target {1}\ncd {1}\n"
      "psql -X -f schema/roles.sql \"$TARGET_URL\"   # where roles are missing; says so where they "
      "are not\n"
      "psql -X -v ON_ERROR_STOP=1 --single-transaction -f restore.sql \"$TARGET_URL\"\ncd - > "
      "/dev/null\n",
      shell_word(tag), place(name));
}

std::string dump_with_salvor(const std::string& name, const std::string& tag) {
  static_cast<void>(name);
  return fmt::format(
      "snapshot=$(salvor snapshots --json --tag {0} | python3 -c \\\n"
      "  'import json, sys; print(max(json.load(sys.stdin), key=lambda s: s[\"time\"])[\"id\"])')\n"
      "salvor postgres load \"$snapshot\" -d \"$TARGET_URL\" --yes   # what is there now is kept "
      "under another name\n",
      shell_word(tag));
}

const std::string_view kJournalReader =
    R"py(# Reads salvor/journal without Salvor: python3 read-journal.py FROM TO < master key
# Needs: Python 3, the program zstd, and OpenSSL's libcrypto (which Python brings).
import base64, ctypes, ctypes.util, hashlib, json, os, re, struct, subprocess, sys

crypto = ctypes.CDLL(ctypes.util.find_library("crypto") or "libcrypto.so.3")
crypto.EVP_CIPHER_CTX_new.restype = crypto.EVP_aes_256_ctr.restype = ctypes.c_void_p


def decrypt(key, iv, data):  # AES-256-CTR
    context = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
    cipher = ctypes.c_void_p(crypto.EVP_aes_256_ctr())
    out, size = ctypes.create_string_buffer(len(data)), ctypes.c_int()
    assert crypto.EVP_DecryptInit_ex(context, cipher, None, key, iv) == 1
    assert crypto.EVP_DecryptUpdate(context, out, ctypes.byref(size), data, len(data)) == 1
    crypto.EVP_CIPHER_CTX_free(context)
    return out.raw[:size.value]


def content(key, path):  # docs/format.md: iv, ciphertext, tag; then the header of SJ01
    sealed = open(path, "rb").read()
    plain = decrypt(key, sealed[:16], sealed[16:-16])
    magic, flags, size, digest, name = struct.unpack_from("<4sIQ32sI", plain)
    payload = plain[52 + name:]
    if magic == b"SJ01" and flags & 1:
        payload = subprocess.run(["zstd", "-dcq"], input=payload, stdout=subprocess.PIPE,
                                 check=True).stdout
    if magic != b"SJ01" or len(payload) != size or hashlib.sha256(payload).digest() != digest:
        sys.exit(path + " is damaged")
    return payload


source, target = sys.argv[1:3]
key = base64.b64decode(json.load(sys.stdin)["encrypt"])
tails = {}
for file in sorted(os.listdir(source)) if os.path.isdir(source) else []:
    piece = re.fullmatch(r"([0-9A-F]{24})\.tail-([0-9A-F]+)-([0-9A-F]+)", file)
    data = content(key, os.path.join(source, file))
    if piece:  # of a segment that the server had not finished
        tails.setdefault(piece[1], {})[int(piece[2], 16)] = data
    else:
        open(os.path.join(target, file), "wb").write(data)
for segment, pieces in tails.items():
    path = os.path.join(target, segment)
    if 0 in pieces and not os.path.exists(path):
        whole = bytearray(struct.unpack_from("<I", pieces[0], 32)[0])  # said by its first page
        end = 0
        for begin in sorted(pieces):
            if begin <= end:  # up to the first gap
                whole[begin:begin + len(pieces[begin])] = pieces[begin]
                end = max(end, begin + len(pieces[begin]))
        open(path, "wb").write(whole)
)py";

}  // namespace salvor::runbook
