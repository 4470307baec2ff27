#include "base/fd.h"
#include "cli/commands.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "crypto/sha256.h"

namespace salvor::cli {

namespace {

struct Options {
  std::string type;
  std::optional<std::string> id;
};

// Re-indents JSON text by two spaces a level, as restic prints documents. The text must be valid.
std::string indented(std::string_view json) {
  std::string out;
  size_t depth = 0;
  bool in_string = false;
  const auto new_line = [&] { out += "\n" + std::string(2 * depth, ' '); };
  for (size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string) {
      out += c;
      if (c == '\\' && i + 1 < json.size()) {
        out += json[++i];
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
      out += c;
    } else if (c == '{' || c == '[') {
      out += c;
      const size_t next = json.find_first_not_of(" \t\r\n", i + 1);
      if (next != std::string_view::npos && (json[next] == '}' || json[next] == ']')) {
        out += json[next];
        i = next;
      } else {
        ++depth;
        new_line();
      }
    } else if (c == '}' || c == ']') {
      --depth;
      new_line();
      out += c;
    } else if (c == ',') {
      out += c;
      new_line();
    } else if (c == ':') {
      out += ": ";
    } else if (c != ' ' && c != '\t' && c != '\r' && c != '\n') {
      out += c;
    }
  }
  return out;
}

void print_document(Session& session, const OpenedRepository& opened, ObjectKind kind,
                    const std::string& name) {
  const Buffer json = opened.repository->load_document(opened.context, kind, name);
  if (kind == ObjectKind::kIndex) {  // as it is: it may be large, and programs read it
    session.terminal.print(as_text(json.view()));
  } else {
    session.terminal.print_line(indented(as_text(json.view())));
  }
}

void print_blob(Session& session, const OpenedRepository& opened, const std::string& id_text) {
  const auto id = BlobId::parse(id_text);
  if (!id) {
    throw Error(ErrorCode::kUsage, "a blob's id has 64 hexadecimal digits: \"" + id_text + "\"");
  }
  opened.repository->load_index(opened.context);
  BlobReader reader(*opened.repository);
  for (const BlobType type : {BlobType::kData, BlobType::kTree}) {
    if (opened.repository->index().contains({type, *id})) {
      const Buffer content = reader.load(opened.context, {type, *id});
      session.terminal.print(as_text(content.view()));
      return;
    }
  }
  throw Error(ErrorCode::kNotFound, "no index lists a blob " + id_text);
}

void print_pack(Session& session, const OpenedRepository& opened, const std::string& prefix) {
  Storage& storage = opened.repository->storage();
  const std::string name = find_object_name(opened.context, storage, ObjectKind::kPack, prefix);
  const Buffer content = storage.get(opened.context, {ObjectKind::kPack, name});
  if (to_hex(sha256(content.view())) != name) {
    session.terminal.warn("pack " + name + " is damaged: its content does not hash to its name");
  }
  session.terminal.print(as_text(content.view()));
}

void print_tree(Session& session, const OpenedRepository& opened, const std::string& argument) {
  const SnapshotArgument split = split_snapshot_argument(argument);
  const StoredSnapshot found =
      find_snapshot(opened.context, *opened.repository, split.id, SnapshotFilter{});
  opened.repository->load_index(opened.context);
  BlobReader reader(*opened.repository);
  const BlobId tree = find_subfolder(opened.context, reader, found.snapshot.tree, split.subfolder);
  const Buffer content = reader.load(opened.context, {BlobType::kTree, tree});
  session.terminal.print(as_text(content.view()));
}

void print_named(Session& session, const OpenedRepository& opened, const Options& options) {
  const std::string& id = *options.id;
  Storage& storage = opened.repository->storage();
  if (options.type == "blob") {
    print_blob(session, opened, id);
  } else if (options.type == "pack") {
    print_pack(session, opened, id);
  } else if (options.type == "tree") {
    print_tree(session, opened, id);
  } else if (options.type == "key") {
    const std::string name = find_object_name(opened.context, storage, ObjectKind::kKey, id);
    const Buffer json = storage.get(opened.context, {ObjectKind::kKey, name});
    session.terminal.print_line(indented(as_text(json.view())));
  } else if (options.type == "snapshot") {
    const auto found = find_snapshot(opened.context, *opened.repository, id, SnapshotFilter{});
    print_document(session, opened, ObjectKind::kSnapshot, found.id.hex());
  } else {
    const ObjectKind kind = options.type == "index" ? ObjectKind::kIndex : ObjectKind::kLock;
    print_document(session, opened, kind, find_object_name(opened.context, storage, kind, id));
  }
}

int run(const Options& options, Session& session) {
  const bool named = options.type != "masterkey" && options.type != "config";
  if (named != options.id.has_value()) {
    throw Error(ErrorCode::kUsage,
                named ? "\"cat " + options.type + "\" needs an id"
                      : "\"cat " + options.type + "\" takes no id",
                "\"salvor list\" prints the ids of objects.");
  }
  const OpenedRepository opened = open_repository(session, {LockMode::kShared});
  if (options.type == "config") {
    session.terminal.print_line(indented(encode_config(opened.repository->config())));
  } else if (options.type == "masterkey") {
    const Secret json(encode_master_key(opened.repository->master_key()));
    session.terminal.print_line(indented(json.reveal()));
  } else {
    print_named(session, opened, options);
  }
  return 0;
}

}  // namespace

CommandSpec cat_command() {
  auto options = std::make_shared<Options>();
  return {
      .name = "cat",
      .summary = "Print internal objects to stdout",
      .description =
          "Prints an object of the repository, decrypted: config, keys, locks and snapshots as "
          "indented "
          "JSON, an index and a tree as stored, blobs and packs as raw bytes.\n\n\"cat masterkey\" "
          "prints "
          "the secret that everything is encrypted with: with it, no password is needed.",
      .positionals = {{.name = "type",
                       .target = &options->type,
                       .help = "masterkey, config, pack, blob, snapshot, index, key, lock or tree",
                       .minimum = 1,
                       .choices = {"masterkey", "config", "pack", "blob", "snapshot", "index",
                                   "key", "lock", "tree"}},
                      {.name = "ID",
                       .target = &options->id,
                       .help =
                           "the object's id or, but for blobs, an unambiguous beginning of it; for "
                           "a tree, snapshot:subfolder"}},
      .examples = {{"salvor cat config", "Version, id and chunker polynomial of the repository"},
                   {"salvor cat tree latest:/etc | jq .", "A directory with all its metadata"}},
      .exit_codes = with_exit_codes(kRepositoryExitCodes, {{24, "there is no such object"}}),
      .run = [options](Session& session) { return run(*options, session); },
  };
}

}  // namespace salvor::cli
