#include "catalog/catalog.h"

#include <array>
#include <filesystem>
#include <unordered_set>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "catalog/range_text.h"
#include "codec/run_record_codec.h"
#include "engine/postgres/postgres_proof.h"
#include "repo/run_records.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kBusy{5000};
constexpr const char* kFile = "catalog.db";

// Each brings the file from the version of its place in the list to the next. Do not change what
// was released: add one.
constexpr std::array<const char*, 2> kMigrations{R"(
  CREATE TABLE runs(
    id TEXT PRIMARY KEY, kind INTEGER NOT NULL, outcome INTEGER NOT NULL, subject TEXT NOT NULL,
    repository TEXT NOT NULL, snapshot TEXT NOT NULL, started INTEGER NOT NULL,
    stored INTEGER NOT NULL, record TEXT NOT NULL) WITHOUT ROWID;
  CREATE INDEX runs_by_subject ON runs(subject, kind, started);
  CREATE INDEX runs_by_time ON runs(started);
  CREATE INDEX runs_by_snapshot ON runs(snapshot) WHERE snapshot <> '';
  CREATE INDEX runs_unsent ON runs(repository, started) WHERE stored = 0;
  CREATE TABLE seen_ranges(source TEXT PRIMARY KEY, at INTEGER NOT NULL, ranges TEXT NOT NULL);
  CREATE TABLE seen_copies(
    source TEXT NOT NULL, repository TEXT NOT NULL, at INTEGER NOT NULL, originals TEXT NOT NULL,
    PRIMARY KEY(source, repository));
)",
                                                 R"(
  CREATE TABLE seen_storage(
    repository TEXT PRIMARY KEY, at INTEGER NOT NULL, immutable INTEGER, sentence TEXT NOT NULL);
  CREATE TABLE synced(
    name TEXT PRIMARY KEY, repository TEXT NOT NULL, whole INTEGER NOT NULL,
    latest INTEGER NOT NULL);
)"};

int64_t stamp(WallTime time) {
  return time.time_since_epoch().count();
}
WallTime wall(int64_t stamp) {
  return WallTime(std::chrono::nanoseconds(stamp));
}

// A shared lock on <directory>/catalog.lock, held as long as the catalog is open.
std::shared_ptr<void> enter(const std::string& directory) {
  const std::string path = directory + "/catalog.lock";
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) {
    throw Error::from_errno(errno, "cannot open " + path);
  }
  while (::flock(fd.get(), LOCK_SH) != 0) {
    if (errno != EINTR) {
      throw Error::from_errno(errno, "cannot lock " + path);
    }
  }
  return std::make_shared<UniqueFd>(std::move(fd));
}

// Nobody else may have the file open when it is renamed: SQLite finds its other files by name.
bool become_alone(const std::shared_ptr<void>& presence) {
  return ::flock(static_cast<UniqueFd*>(presence.get())->get(), LOCK_EX | LOCK_NB) == 0;
}

std::string move_aside(const Context& context, const std::string& path) {
  const auto now = std::chrono::floor<std::chrono::seconds>(context.clock.now());
  std::string aside = fmt::format("{}.damaged-{}", path, now.time_since_epoch().count());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    std::error_code ignored;
    fs::rename(path + suffix, aside + suffix, ignored);
  }
  if (fs::exists(path)) {
    throw Error(ErrorCode::kPermission, "cannot rename the damaged catalog " + path,
                "Look who owns the state directory.");
  }
  return aside;
}

Database open_file(const std::string& path) {
  Database database(path, kBusy);
  database.use_write_ahead_log();
  database.execute("PRAGMA synchronous = FULL");
  if (const std::string faults = database.faults(); !faults.empty()) {
    throw Error(ErrorCode::kDamaged, "the catalog " + path + " is damaged: " + faults);
  }
  return database;
}

}  // namespace

Catalog Catalog::open(const Context& context, const std::string& directory) {
  make_passable(directory);
  const std::string path = directory + "/" + kFile;
  std::shared_ptr<void> presence = enter(directory);
  std::string aside;
  const auto opened = [&] {
    try {
      Catalog catalog(open_file(path));
      catalog.migrate();
      return catalog;
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kDamaged || !become_alone(presence)) {
        throw;
      }
      aside = move_aside(context, path);
      Catalog catalog(open_file(path));
      catalog.migrate();
      return catalog;
    }
  };
  Catalog catalog = opened();
  if (!aside.empty()) {
    static_cast<void>(::flock(static_cast<UniqueFd*>(presence.get())->get(), LOCK_SH));
    context.events.on(Warning{"the catalog was damaged and is kept as " + aside,
                              "A new one was begun; it is filled from the repositories."});
  }
  catalog.presence_ = std::move(presence);
  catalog.set_aside_ = std::move(aside);
  return catalog;
}

Catalog Catalog::in_memory() {
  Catalog catalog(Database(":memory:", kBusy));
  catalog.migrate();
  catalog.transient_ = true;
  return catalog;
}

Catalog Catalog::open_or_do_without(const Context& context, const std::string& directory) {
  try {
    return open(context, directory);
  } catch (const Error& error) {
    context.events.on(
        Warning{"going on without the catalog: " + error.message(),
                error.hint().empty() ? "Backups and restores do not need it." : error.hint()});
    return in_memory();
  }
}

void Catalog::migrate() {
  const auto newest = static_cast<int64_t>(kMigrations.size());
  if (database_.number("PRAGMA user_version") == newest) {
    return;
  }
  Transaction transaction(database_);
  const int64_t version = database_.number("PRAGMA user_version");  // another process was faster
  if (version > newest) {
    throw Error(ErrorCode::kFailed, "the catalog " + path() + " is of a newer Salvor",
                "Use that one, or move the file away: it is made from the repositories again.");
  }
  for (int64_t step = version; step < newest; ++step) {
    database_.execute(kMigrations.at(static_cast<size_t>(step)));
  }
  database_.execute("PRAGMA user_version = " + std::to_string(newest));
  transaction.commit();
}

void Catalog::add(const RunRecord& record, bool stored) {
  add(std::vector<RunRecord>{record}, stored);
}

void Catalog::add(const std::vector<RunRecord>& records, bool stored) {
  Transaction transaction(database_);
  Statement insert = database_.prepare(
      "INSERT INTO runs(id, kind, outcome, subject, repository, snapshot, started, stored, record) "
      "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?) "
      "ON CONFLICT(id) DO UPDATE SET stored = max(stored, excluded.stored)");
  for (const RunRecord& record : records) {
    insert.bind(record.id)
        .bind(static_cast<int64_t>(record.kind))
        .bind(static_cast<int64_t>(record.outcome))
        .bind(record.subject)
        .bind(record.repository)
        .bind(record.snapshot)
        .bind(stamp(record.started))
        .bind(static_cast<int64_t>(stored))
        .bind(encode_run_record(record));
    insert.run();
  }
  transaction.commit();
}

bool Catalog::contains(const std::string& id) {
  Statement select = database_.prepare("SELECT 1 FROM runs WHERE id = ?");
  return select.bind(id).step();
}

std::optional<RunRecord> Catalog::find(const std::string& id) {
  Statement select = database_.prepare("SELECT record FROM runs WHERE id = ?");
  if (!select.bind(id).step()) {
    return {};
  }
  return decode_run_record(as_bytes(select.text(0)));
}

std::vector<std::string> Catalog::unknown(const std::vector<std::string>& positions) {
  std::unordered_set<std::string> known;
  // One pass over all is faster than so many questions.
  constexpr size_t kMostQuestions = 1000;
  const bool all = positions.size() > kMostQuestions;
  if (all) {
    Statement select = database_.prepare("SELECT id FROM runs");
    while (select.step()) {
      known.insert(select.text(0));
    }
  }
  std::vector<std::string> unknown;
  for (const std::string& position : positions) {
    const std::string id = run_id_of(position);
    if (!(all ? known.contains(id) : contains(id))) {
      unknown.push_back(position);
    }
  }
  return unknown;
}

std::vector<RunRecord> Catalog::unsent(const std::string& repository) {
  Statement select = database_.prepare(
      "SELECT record FROM runs WHERE stored = 0 AND repository = ? ORDER BY started, id");
  select.bind(repository);
  std::vector<RunRecord> records;
  while (select.step()) {
    records.push_back(decode_run_record(as_bytes(select.text(0))));
  }
  return records;
}

std::vector<RunRecord> Catalog::runs(const RunQuery& query) {
  std::string sql = "SELECT record FROM runs WHERE started BETWEEN ? AND ?";
  const std::array<std::pair<const std::string*, const char*>, 3> texts{
      {{&query.subject, " AND subject = ?"},
       {&query.repository, " AND repository = ?"},
       {&query.snapshot, " AND snapshot = ?"}}};
  for (const auto& [text, clause] : texts) {
    sql += text->empty() ? "" : clause;
  }
  sql += query.kind ? " AND kind = ?" : "";
  sql += " ORDER BY started DESC, id DESC LIMIT ?";
  Statement select = database_.prepare(sql);
  select.bind(stamp(query.from)).bind(stamp(query.to));
  for (const auto& [text, clause] : texts) {
    if (!text->empty()) {
      select.bind(*text);
    }
  }
  if (query.kind) {
    select.bind(static_cast<int64_t>(*query.kind));
  }
  select.bind(static_cast<int64_t>(
      std::min(query.limit, static_cast<size_t>(std::numeric_limits<int64_t>::max()))));
  std::vector<RunRecord> records;
  while (select.step()) {
    records.push_back(decode_run_record(as_bytes(select.text(0))));
  }
  return records;
}

std::optional<RunRecord> Catalog::last_run(RunKind kind, const std::string& subject) {
  std::vector<RunRecord> found = runs({.kind = kind, .subject = subject, .limit = 1});
  return found.empty() ? std::nullopt : std::optional(std::move(found.front()));
}

size_t Catalog::count_runs() {
  return static_cast<size_t>(database_.number("SELECT count(*) FROM runs"));
}

void Catalog::see_ranges(const std::string& source, const SeenRanges& seen) {
  Statement insert =
      database_.prepare("INSERT OR REPLACE INTO seen_ranges(source, at, ranges) VALUES(?, ?, ?)");
  insert.bind(source).bind(stamp(seen.at)).bind(encode_ranges(seen.ranges)).run();
}

std::optional<SeenRanges> Catalog::seen_ranges(const std::string& source) {
  Statement select = database_.prepare("SELECT at, ranges FROM seen_ranges WHERE source = ?");
  if (!select.bind(source).step()) {
    return {};
  }
  return SeenRanges{wall(select.integer(0)), decode_ranges(select.text(1))};
}

void Catalog::see_copies(const std::string& source, const std::string& repository,
                         const SeenCopies& seen) {
  std::string originals;
  for (const std::string& id : seen.originals) {
    originals += id + "\n";
  }
  Statement insert = database_.prepare(
      "INSERT OR REPLACE INTO seen_copies(source, repository, at, originals) VALUES(?, ?, ?, ?)");
  insert.bind(source).bind(repository).bind(stamp(seen.at)).bind(originals).run();
}

std::optional<SeenCopies> Catalog::seen_copies(const std::string& source,
                                               const std::string& repository) {
  Statement select = database_.prepare(
      "SELECT at, originals FROM seen_copies WHERE source = ? AND repository = ?");
  if (!select.bind(source).bind(repository).step()) {
    return {};
  }
  SeenCopies seen{wall(select.integer(0)), {}};
  const std::string text = select.text(1);
  for (size_t at = 0, end = 0; (end = text.find('\n', at)) != std::string::npos; at = end + 1) {
    seen.originals.push_back(text.substr(at, end - at));
  }
  return seen;
}

void Catalog::see_storage(const std::string& repository, const SeenStorage& seen) {
  Statement insert = database_.prepare(
      "INSERT OR REPLACE INTO seen_storage(repository, at, immutable, sentence) "
      "VALUES(?, ?, ?, ?)");
  constexpr int64_t kNotKnown = -1;
  insert.bind(repository)
      .bind(stamp(seen.at))
      .bind(seen.immutable ? static_cast<int64_t>(*seen.immutable) : kNotKnown)
      .bind(seen.sentence)
      .run();
}

std::optional<SeenStorage> Catalog::seen_storage(const std::string& repository) {
  Statement select =
      database_.prepare("SELECT at, immutable, sentence FROM seen_storage WHERE repository = ?");
  if (!select.bind(repository).step()) {
    return {};
  }
  const int64_t immutable = select.integer(1);
  return SeenStorage{wall(select.integer(0)),
                     immutable < 0 ? std::nullopt : std::optional(immutable != 0), select.text(2)};
}

void Catalog::set_sync_state(const std::string& name, const SyncState& state) {
  Statement insert = database_.prepare(
      "INSERT OR REPLACE INTO synced(name, repository, whole, latest) VALUES(?, ?, ?, ?)");
  insert.bind(name).bind(state.repository).bind(stamp(state.whole)).bind(stamp(state.latest)).run();
}

std::optional<SyncState> Catalog::sync_state(const std::string& name) {
  Statement select =
      database_.prepare("SELECT repository, whole, latest FROM synced WHERE name = ?");
  if (!select.bind(name).step()) {
    return {};
  }
  return SyncState{select.text(0), wall(select.integer(1)), wall(select.integer(2))};
}

void Catalog::clear() {
  Transaction transaction(database_);
  database_.execute(
      "DELETE FROM runs WHERE stored = 1; DELETE FROM seen_ranges; DELETE FROM seen_copies; "
      "DELETE FROM synced;");
  transaction.commit();
}

}  // namespace salvor
