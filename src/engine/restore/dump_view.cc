#include "engine/restore/dump_view.h"

#include <algorithm>

#include "base/format.h"
#include "connector/postgres/logical/dump_source.h"
#include "engine/reading/tree_walk.h"
#include "engine/snapshots/snapshot_filter.h"
#include "engine/snapshots/snapshot_labels.h"

namespace salvor {
namespace {

bool has_tag(const Snapshot& snapshot, const std::string& tag) {
  return std::find(snapshot.tags.begin(), snapshot.tags.end(), tag) != snapshot.tags.end();
}

bool matches(const Snapshot& snapshot, const DumpQuery& query) {
  return has_tag(snapshot, postgres::kDumpTag) &&
         (query.label.empty() || has_label(snapshot, query.label)) &&
         (query.database.empty() || has_tag(snapshot, "pg:database=" + query.database)) &&
         (query.hosts.empty() || std::find(query.hosts.begin(), query.hosts.end(),
                                           snapshot.hostname) != query.hosts.end()) &&
         (!query.before || snapshot.time.wall() < *query.before);
}

Error nothing_found(const DumpQuery& query) {
  std::string what = "there is no logical backup";
  if (!query.database.empty()) {
    what += " of database " + printable(query.database);
  }
  if (!query.label.empty()) {
    what += " with the label " + printable(query.label);
  }
  if (query.before) {
    what += " from before that time";
  }
  return {ErrorCode::kNotFound, what,
          "`salvor snapshots --tag postgresql-dump` lists them; `salvor postgres dump` makes one."};
}

}  // namespace

StoredSnapshot find_dump(const Context& context, const Repository& repository,
                         const DumpQuery& query) {
  if (!query.snapshot.empty() && query.snapshot != "latest") {
    return find_snapshot(context, repository, query.snapshot, {});
  }
  std::optional<StoredSnapshot> newest;
  for (StoredSnapshot& stored : select_snapshots(context, repository, {}, {}).snapshots) {
    if (!matches(stored.snapshot, query)) {
      continue;
    }
    if (newest && newest->snapshot.paths != stored.snapshot.paths) {
      throw Error(ErrorCode::kUsage, "the repository holds logical backups of several databases",
                  "Name a snapshot, or choose with --from-database, --label or --host.");
    }
    if (!newest || newest->snapshot.time.before(stored.snapshot.time)) {
      newest = std::move(stored);
    }
  }
  if (!newest) {
    throw nothing_found(query);
  }
  return *newest;
}

DumpView::DumpView(const Context& context, const Repository& repository, StoredSnapshot stored)
    : repository_(repository), stored_(std::move(stored)) {
  const auto manifest = text(context, "/manifest.json");
  if (!manifest) {
    throw Error(ErrorCode::kNotFound,
                "snapshot " + stored_.id.short_hex() + " is no logical backup of PostgreSQL",
                "`salvor snapshots --tag postgresql-dump` lists those.");
  }
  manifest_ = postgres::parse_dump_manifest(as_bytes(*manifest));
}

std::optional<std::string> DumpView::text(const Context& context, const std::string& path) const {
  BlobReader reader(repository_);
  const auto node = find_node(context, reader, stored_.snapshot.tree, path);
  if (!node) {
    return std::nullopt;
  }
  std::string content;
  for (const BlobId& id : node->content) {
    content += as_text(reader.load(context, {BlobType::kData, id}).view());
  }
  return content;
}

void DumpView::stream(const Context& context, const std::string& path,
                      const std::function<void(ByteView)>& on_bytes) const {
  std::optional<Node> node;
  {
    BlobReader reader(repository_);
    node = find_node(context, reader, stored_.snapshot.tree, path);
  }
  if (!node) {
    throw Error(ErrorCode::kDamaged, "the backup lacks " + printable(path),
                "`salvor check` looks for more.");
  }
  // Here the tables that are loaded side by side keep the processors busy.
  const bool far = repository_.storage().traits().remote;
  BlobStream blobs(context, repository_, far ? reading_threads(repository_) : 1);
  blobs.start(node->content);
  for (ByteView bytes = blobs.next(); !bytes.empty(); bytes = blobs.next()) {
    on_bytes(bytes);
  }
}

std::string DumpView::part_path(const postgres::DumpTable& table, const postgres::DumpPart& part) {
  return "/data/" + table.directory + "/" + part.file;
}

std::string copy_in_command(const std::string& target, const std::vector<std::string>& columns,
                            const std::string& encoding) {
  std::string list;
  for (const std::string& column : columns) {
    list += (list.empty() ? " (" : ", ") + postgres::Connection::quote_identifier(column);
  }
  return "COPY " + target + list + (list.empty() ? "" : ")") + " FROM STDIN WITH (ENCODING '" +
         encoding + "')";
}

void copy_part(const Context& context, postgres::Connection& connection, const std::string& command,
               const DumpView& dump, const postgres::DumpTable& table,
               const postgres::DumpPart& part) {
  constexpr size_t kPiece = size_t{256} << 10;
  connection.begin(context, command);
  if (connection.next(context) != postgres::Step::kCopyIn) {
    throw Error(ErrorCode::kFailed, "the server does not take rows");
  }
  dump.stream(context, DumpView::part_path(table, part), [&](ByteView bytes) {
    while (!bytes.empty()) {
      const size_t size = std::min(bytes.size(), kPiece);
      connection.send(context, bytes.first(size));
      bytes = bytes.subspan(size);
    }
  });
  connection.end_copy(context);
  if (connection.next(context) != postgres::Step::kDone) {
    throw Error(ErrorCode::kFailed, "the server did not end its copy");
  }
  const std::string taken = connection.result().command;
  static_cast<void>(connection.next(context));
  if (taken != "COPY " + std::to_string(part.rows)) {
    throw Error(ErrorCode::kDamaged, "table " + table.display() + ": " + part.file +
                                         " should hold " + std::to_string(part.rows) +
                                         " rows, the server says " + taken);
  }
}

}  // namespace salvor
