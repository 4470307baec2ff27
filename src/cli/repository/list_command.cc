#include <algorithm>

#include "cli/commands.h"
#include "cli/repository_access.h"

namespace salvor::cli {

namespace {

struct Options {
  std::string type;
};

void list_blobs(Session& session, const OpenedRepository& opened) {
  opened.repository->load_index(opened.context);
  opened.repository->index().for_each([&](const PackId&, const PackedBlob& blob) {
    const char* type = blob.handle.type == BlobType::kTree ? "tree " : "data ";
    session.terminal.print_line(type + blob.handle.id.hex());
  });
}

ObjectKind kind_of(const std::string& type) {
  return type == "packs"       ? ObjectKind::kPack
         : type == "index"     ? ObjectKind::kIndex
         : type == "snapshots" ? ObjectKind::kSnapshot
         : type == "keys"      ? ObjectKind::kKey
                               : ObjectKind::kLock;
}

int run(const Options& options, Session& session) {
  // Listing locks must not add one.
  const LockMode lock = options.type == "locks" ? LockMode::kNone : LockMode::kShared;
  const OpenedRepository opened = open_repository(session, {lock});
  if (options.type == "blobs") {
    list_blobs(session, opened);
    return 0;
  }
  std::vector<std::string> names;
  opened.repository->storage().list(opened.context, kind_of(options.type),
                                    [&](const ObjectInfo& info) { names.push_back(info.name); });
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    session.terminal.print_line(name);
  }
  return 0;
}

}  // namespace

CommandSpec list_command() {
  auto options = std::make_shared<Options>();
  return {
      .name = "list",
      .summary = "List objects in the repository",
      .description =
          "Prints the ids of all objects of one type, one a line, sorted. For blobs, the "
          "type (data or tree) comes first, and a blob that is stored twice is listed twice.",
      .positionals = {{.name = "type",
                       .target = &options->type,
                       .help = "blobs, packs, index, snapshots, keys or locks",
                       .minimum = 1,
                       .choices = {"blobs", "packs", "index", "snapshots", "keys", "locks"}}},
      .examples = {{"salvor list packs | wc -l", "How many packs there are"}},
      .exit_codes = kRepositoryExitCodes,
      .run = [options](Session& session) { return run(*options, session); },
  };
}

}  // namespace salvor::cli
