#include "engine/postgres/postgres_restore.h"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/format.h"
#include "connector/postgres/control_file.h"
#include "connector/postgres/local_server.h"
#include "engine/postgres/cluster_seed.h"
#include "engine/postgres/tablespace_guard.h"
#include "engine/postgres/wal_moment.h"
#include "engine/postgres/wal_server.h"
#include "engine/reading/tree_walk.h"
#include "engine/restore/restorer.h"
#include "engine/snapshots/snapshot_filter.h"

namespace salvor {

struct PostgresRestorer::Place {
  std::string path;
  BlobId tree;
  std::vector<std::string> excludes;
  bool tablespace = false;
  bool delta = false;  // it holds something that is to be changed into this
  std::string old;     // where what was there is now, to be copied from; empty: nowhere

  [[nodiscard]] bool left_out(const std::string& in_snapshot) const {
    return in_snapshot == "/pg_wal" || in_snapshot == "/global/pg_control" ||
           std::find(excludes.begin(), excludes.end(), in_snapshot) != excludes.end();
  }
};

namespace {

namespace fs = std::filesystem;
using postgres::TablespaceLocation;

constexpr const char* kControl = "global/pg_control";
// Marks a directory that a restore has begun to fill, and lists what it has moved: from and to, a
// line each.
constexpr const char* kBegun = "/.salvor-restore";
// Between a place's name and the time in the name of what was moved from there.
constexpr const char* kBefore = ".before-";
// Where WAL comes for the server, in the data directory, where the server runs.
constexpr const char* kIncoming = "pg_wal/salvor-prefetch";
constexpr std::chrono::milliseconds kPoll{20};

std::optional<std::pair<uid_t, gid_t>> owner_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    throw Error::from_errno(errno, "cannot look at " + path);
  }
  return std::pair(status.st_uid, status.st_gid);
}

void write_file(const std::string& path, std::string_view content, bool append) {
  const UniqueFd file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (append ? O_APPEND : O_TRUNC), 0600));
  if (!file) {
    throw Error::from_errno(errno, "cannot write " + path);
  }
  write_full(file.get(), as_bytes(content), path);
  if (::fsync(file.get()) != 0) {
    throw Error::from_errno(errno, "cannot write " + path);
  }
}

// As the rest of the data directory belongs to (when we may).
void give_to_owner(const std::string& path, const std::pair<uid_t, gid_t>& owner) {
  if (::geteuid() == 0 && ::lchown(path.c_str(), owner.first, owner.second) != 0) {
    throw Error::from_errno(errno, "cannot give away " + path);
  }
}

// A value in postgresql.conf's syntax.
std::string quoted(const std::string& value) {
  std::string text = "'";
  for (const char c : value) {
    text += c == '\'' ? "''" : c == '\\' ? "\\\\" : std::string(1, c);
  }
  return text + "'";
}

[[noreturn]] void recovery_failed(const postgres::LocalServer& server, const WalServer& wal,
                                  const RecoveryPlan& plan) {
  if (const auto cause = wal.failure()) {
    throw Error(cause->code(), "recovery was stopped: " + cause->message(),
                "The cluster was not promoted. " + cause->hint());
  }
  // Not the refusals of connections meanwhile ("the database system is starting up").
  const std::string fatal = server.log_line("FATAL:", "the database system is ");
  if (fatal.find("recovery ended before configured recovery target was reached") !=
      std::string::npos) {
    throw Error(ErrorCode::kFailed,
                "the recovery target was not met: the WAL behind backup " +
                    plan.backup.snapshot.id.short_hex() +
                    " ends before it, or it lies before the backup's end",
                "The cluster was not promoted. Name an older backup for a target before " +
                    postgres::format_utc(plan.backup.facts.stop_time) + ", or another --timeline.");
  }
  throw Error(ErrorCode::kFailed,
              "recovery failed: " + (fatal.empty() ? "the server ended" : fatal),
              "The cluster was not promoted. The server's log ends with:\n" + server.log_tail());
}

// True when the server has got where it should.
bool arrived(const Context& context, const postgres::LocalServer& server, AfterRecovery after) {
  try {
    postgres::Connection connection(context, server.target(), postgres::ConnectionMode::kSql);
    if (after == AfterRecovery::kPromote) {
      return connection.run(context, "SELECT pg_is_in_recovery()").text(0, 0) == "f";
    }
    return connection.run(context, "SELECT pg_is_in_recovery() AND pg_is_wal_replay_paused()")
               .text(0, 0) == "t";
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    if (error.message().find("does not exist") != std::string::npos) {
      throw Error(error.code(), error.message(),
                  "Name a superuser of the cluster with --superuser.");
    }
    return false;  // it is not ready yet
  }
}

// Opens every database and reads its catalog; returns how many.
uint64_t check_databases(const Context& context, const postgres::LocalServer& server) {
  postgres::Connection main(context, server.target(), postgres::ConnectionMode::kSql);
  const postgres::ResultSet names =
      main.run(context, "SELECT datname FROM pg_database WHERE datallowconn");
  for (size_t row = 0; row < names.rows.size(); ++row) {
    postgres::Connection one(context, server.target(names.text(row, 0)),
                             postgres::ConnectionMode::kSql);
    static_cast<void>(one.run(context,
                              "SELECT count(*), sum(pg_relation_size(oid)) FROM pg_class WHERE "
                              "relkind IN ('r', 'i', 'm')"));
  }
  return names.rows.size();
}

// Whether a directory is what a run has left that did not get to its end. A note that is still
// there in a cluster that somebody has started since, and that has left recovery, means nothing.
bool half_restored(const std::string& data) {
  return fs::exists(fs::symlink_status(data + kBegun)) &&
         (!fs::exists(data + "/" + kControl) || fs::exists(data + "/recovery.signal"));
}

bool is_empty_place(const std::string& path) {
  std::error_code error;
  return !fs::exists(path) || fs::is_empty(path, error);
}

using Moves = std::vector<std::pair<std::string, std::string>>;  // from and to; "": nowhere

// What an earlier run that did not get to its end has noted in the data directory.
Moves read_begun(const std::string& data) {
  Moves begun;
  if (!half_restored(data)) {
    return begun;
  }
  const Buffer content = read_file(data + kBegun, 1U << 20);
  std::istringstream lines{std::string(as_text(content.view()))};
  std::string from;
  std::string to;
  while (std::getline(lines, from) && std::getline(lines, to)) {
    begun.emplace_back(from, to.starts_with(from + kBefore) ? to : "");
  }
  return begun;
}

bool names_place(const Moves& moves, const std::string& path) {
  return std::any_of(moves.begin(), moves.end(),
                     [&](const auto& one) { return one.first == path; });
}

// What our server is told. Archiving is the restored cluster's own business, once it has been found
// good: until then the files of its new timeline only wait.
std::vector<std::pair<std::string, std::string>> server_settings(
    const RecoveryPlan& plan, const PostgresRestoreOptions& options,
    const std::string& restore_command, unsigned major_version) {
  const bool promotes = options.after == AfterRecovery::kPromote;
  std::vector<std::pair<std::string, std::string>> settings = plan.settings(options.recovery);
  settings.emplace_back("recovery_target_action", promotes ? "promote" : "pause");
  settings.emplace_back("restore_command", restore_command);
  settings.emplace_back("hot_standby", promotes ? "off" : "on");
  settings.emplace_back("archive_command", "");
  if (major_version >= 15) {
    settings.emplace_back("archive_library", "");
  }
  if (options.copy) {
    settings.emplace_back("archive_mode", "off");
  }
  settings.insert(settings.end(), options.settings.begin(), options.settings.end());
  return settings;
}

}  // namespace

// What changes or moves a directory is for clusters only.
void PostgresRestorer::require_cluster(const Place& place) {
  if (!place.tablespace && !fs::exists(place.path + "/PG_VERSION")) {
    throw Error(ErrorCode::kUsage,
                "the target " + place.path + " does not hold a PostgreSQL cluster",
                "--existing delta and overwrite are refused for anything else.");
  }
}

void require_stopped(const std::string& data) {
  const std::string pid_file = data + "/postmaster.pid";
  if (!fs::exists(pid_file)) {
    return;
  }
  const Buffer content = read_file(pid_file, 1U << 16);
  const int pid = std::atoi(std::string(as_text(content.view())).c_str());
  if (pid > 0 && (::kill(pid, 0) == 0 || errno == EPERM)) {
    throw Error(ErrorCode::kFailed,
                "a PostgreSQL server runs on " + data + " (process " + std::to_string(pid) + ")",
                "Stop it first.");
  }
}

PostgresRestoreResult PostgresRestorer::run(const Context& context, const RecoveryPlan& plan,
                                            const PostgresRestoreOptions& options) {
  PostgresRestoreResult result;
  std::vector<Place> all = places(context, plan.backup.snapshot.snapshot.tree, options);
  begun_.clear();
  require_own_tablespaces(context, all, options);
  // The data directory first: what it notes makes what follows one that can be finished or undone.
  for (auto place = all.rbegin(); place != all.rend(); ++place) {
    make_room(context, *place, options, result);
    note_begun(all.back().path);
  }
  const MonotonicTime begun = context.clock.monotonic();
  restore_files(context, all, options, result);
  result.files_time = context.clock.monotonic() - begun;
  prepare(plan, options);
  if (options.after != AfterRecovery::kNone) {
    recover(context, plan, options, result);
  }
  ::unlink((all.back().path + kBegun).c_str());
  return result;
}

std::vector<TablespaceLocation> PostgresRestorer::read_map(const Context& context,
                                                           const BlobId& tree) const {
  BlobReader reader(repository_);
  const auto node = find_node(context, reader, tree, "/tablespace_map");
  std::string text;
  if (node) {
    for (const BlobId& id : node->content) {
      text += as_text(reader.load(context, {BlobType::kData, id}).view());
    }
  }
  return postgres::parse_tablespace_map(text);
}

std::vector<PostgresRestorer::Place> PostgresRestorer::places(
    const Context& context, const BlobId& tree, const PostgresRestoreOptions& options) {
  map_ = read_map(context, tree);
  Place data{.path = fs::absolute(options.target).lexically_normal().string(),
             .tree = tree,
             .excludes = {}};
  while (data.path.size() > 1 && data.path.ends_with('/')) {
    data.path.pop_back();
  }
  std::vector<Place> all;
  BlobReader reader(repository_);
  for (TablespaceLocation& tablespace : map_) {
    const std::string oid = std::to_string(tablespace.oid);
    const auto mapped =
        std::find_if(options.tablespaces.begin(), options.tablespaces.end(),
                     [&](const auto& entry) { return entry.first == tablespace.path; });
    if (mapped != options.tablespaces.end()) {
      tablespace.path = mapped->second;
    } else if (!options.tablespaces_in.empty()) {
      tablespace.path = options.tablespaces_in + "/" + oid;
    }
    tablespace.path = fs::absolute(tablespace.path).lexically_normal().string();
    data.excludes.push_back("/pg_tblspc/" + oid);
    all.push_back(
        {tablespace.path, find_subfolder(context, reader, tree, "/pg_tblspc/" + oid), {}, true});
  }
  all.push_back(data);
  return all;
}

// Copies need room where the file system cannot share it.
void PostgresRestorer::require_space(const Context& context, const Place& place) const {
  const SeedSize size = measure_seed(
      context, repository_, place.tree,
      {.from = place.path,
       .leave_out = [&place](const std::string& path) { return place.left_out(path); }});
  if (!size.shared && size.bytes > size.available) {
    const std::string room = fmt::format("{} are needed, {} are free", format_bytes(size.bytes),
                                         format_bytes(size.available));
    throw Error(
        ErrorCode::kStorageFull,
        "there is no room to keep " + printable(place.path) + " beside the restored one: " + room,
        "Nothing was changed. Make room, or give --existing overwrite, which changes it in "
        "place: it is lost then.");
  }
}

void PostgresRestorer::note_begun(const std::string& data) const {
  std::string text;
  for (const auto& [from, to] : begun_) {
    text += from + "\n" + to + "\n";
  }
  write_file(data + kBegun, text, false);
}

void PostgresRestorer::seed_places(const Context& context, const std::vector<Place>& places,
                                   const PostgresRestoreOptions& options) const {
  for (const Place& place : places) {
    if (!place.old.empty()) {
      options.on_step("copying what " + place.old + " has of it");
      seed(context, repository_, place.tree,
           {.from = place.old,
            .leave_out = [&place](const std::string& path) { return place.left_out(path); }},
           place.path);
    }
  }
}

void PostgresRestorer::note_moved(const Place& place, const std::string& aside,
                                  const PostgresRestoreOptions& options,
                                  PostgresRestoreResult& result) {
  result.moved.emplace_back(place.path, aside);
  if (options.on_moved) {
    options.on_moved(place.path, aside);
  }
  if (!place.tablespace) {
    result.moved_aside = aside;
  }
}

// Whether the place, which is not empty, can be filled now as an empty one.
bool PostgresRestorer::move_aside(Place& place, const PostgresRestoreOptions& options,
                                  PostgresRestoreResult& result) const {
  std::string suffix = options.aside;
  if (suffix.empty()) {
    suffix = postgres::format_utc(std::chrono::system_clock::now()).substr(0, 19);
    std::replace(suffix.begin(), suffix.end(), ':', '-');
  }
  const std::string aside = place.path + kBefore + suffix;
  if (fs::exists(aside)) {
    note_moved(place, aside, options, result);
    options.on_step(place.path + " was moved to " + aside + " already");
    place.delta = true;
    return false;
  }
  if (!place.tablespace) {
    require_stopped(place.path);
  }
  if (::rename(place.path.c_str(), aside.c_str()) != 0) {
    throw Error::from_errno(errno, "cannot move " + place.path + " aside");
  }
  note_moved(place, aside, options, result);
  options.on_step("moved " + place.path + " to " + aside);
  return true;
}

// Before anything is changed.
void PostgresRestorer::require_own_tablespaces(const Context& context,
                                               const std::vector<Place>& places,
                                               const PostgresRestoreOptions& options) const {
  const std::string& data = places.back().path;
  const Moves begun = read_begun(data);
  std::vector<std::string> clusters{data};
  if (!options.aside.empty()) {
    clusters.push_back(data + kBefore + options.aside);
  }
  for (const auto& [from, to] : begun) {
    if (from == data && !to.empty()) {
      clusters.push_back(to);
    }
  }
  BlobReader reader(repository_);
  for (const Place& place : places) {
    if (!place.tablespace || is_empty_place(place.path) || names_place(begun, place.path)) {
      continue;
    }
    TablespaceClaim claim{.path = place.path,
                          .clusters = clusters,
                          .moves = options.existing == ExistingCluster::kMoveAside ||
                                   options.existing == ExistingCluster::kDelta};
    const Tree tree = reader.load_tree(context, place.tree);
    for (const Node& node : tree.nodes) {
      claim.names.push_back(node.name);
    }
    require_own_tablespace(claim);
  }
}

// Whether an earlier run has begun to fill the place; what that one moved is told again.
bool PostgresRestorer::is_unfinished(const Place& place, const PostgresRestoreOptions& options,
                                     PostgresRestoreResult& result) {
  const bool half = !place.tablespace && half_restored(place.path);
  if (half) {
    begun_ = read_begun(place.path);
  }
  const auto begun = std::find_if(begun_.begin(), begun_.end(),
                                  [&](const auto& one) { return one.first == place.path; });
  if (begun == begun_.end()) {
    return half;
  }
  if (!begun->second.empty() && fs::exists(begun->second)) {
    options.on_step(place.path + " was moved to " + begun->second + " already");
    note_moved(place, begun->second, options, result);
  }
  return true;
}

void PostgresRestorer::make_room(const Context& context, Place& place,
                                 const PostgresRestoreOptions& options,
                                 PostgresRestoreResult& result) {
  const size_t moved = result.moved.size();
  const bool unfinished = is_unfinished(place, options, result);
  const bool delta = options.existing == ExistingCluster::kDelta;
  const bool keeps = delta || options.existing == ExistingCluster::kMoveAside;
  bool cleared = is_empty_place(place.path);
  if (!cleared && !unfinished && delta) {
    require_cluster(place);
    require_space(context, place);
  }
  if (!cleared && keeps && !unfinished) {
    cleared = move_aside(place, options, result);
    if (cleared && delta) {
      place.old = result.moved.back().second;
      place.delta = true;  // what is copied there is to be changed
    }
  }
  if (cleared) {
    std::error_code error;
    fs::create_directories(place.path, error);
    if (error) {
      throw Error::from_errno(error.value(), "cannot make " + place.path);
    }
    fs::permissions(place.path, fs::perms::owner_all);
  } else {
    change_in_place(place, options, unfinished);
  }
  std::erase_if(begun_, [&](const auto& one) { return one.first == place.path; });
  begun_.emplace_back(place.path, result.moved.size() > moved ? result.moved.back().second : "");
}

void PostgresRestorer::change_in_place(Place& place, const PostgresRestoreOptions& options,
                                       bool unfinished) const {
  if (options.existing == ExistingCluster::kRefuse) {
    throw Error(ErrorCode::kUsage,
                (place.tablespace ? "the tablespace directory " : "the target ") + place.path +
                    " is not empty",
                "Give an empty one; or --existing move, which keeps what is there under another "
                "name; or --existing delta, which also copies from there what is in the backup.");
  }
  if (!place.delta && !unfinished) {
    require_cluster(place);
  }
  place.delta = true;
  if (place.tablespace) {
    return;
  }
  require_stopped(place.path);
  // No server may start from what is half the old and half the new.
  if (::unlink((place.path + "/" + kControl).c_str()) != 0 && errno != ENOENT) {
    throw Error::from_errno(errno, "cannot remove " + place.path + "/" + kControl);
  }
}

void PostgresRestorer::restore_files(const Context& context, const std::vector<Place>& places,
                                     const PostgresRestoreOptions& options,
                                     PostgresRestoreResult& result) {
  seed_places(context, places, options);
  // pg_control comes last: until then no server starts here.
  for (const bool control : {false, true}) {
    for (const Place& place : places) {
      if (control && place.tablespace) {
        continue;
      }
      Restorer restorer(repository_);
      RestoreOptions restore;
      restore.target = place.path;
      restore.ownership_by_name = ::geteuid() == 0;
      restore.delete_unexpected = !control && place.delta;
      if (control) {
        restore.selection.includes = PathPatterns(std::vector<std::string>{"/global/pg_control"});
      } else if (!place.tablespace) {
        std::vector<std::string> excludes = place.excludes;
        excludes.emplace_back("/global/pg_control");
        excludes.emplace_back(kBegun);
        restore.selection.excludes = PathPatterns(excludes);
      } else if (place.delta) {
        // Nothing beside the backup's own is removed: clusters of other versions may share it.
        std::vector<std::string> own;
        const Tree tree = BlobReader(repository_).load_tree(context, place.tree);
        for (const Node& node : tree.nodes) {
          own.push_back("/" + node.name);
        }
        restore.selection.includes = PathPatterns(own);
      }
      options.on_step(control ? "restoring pg_control" : "restoring " + place.path);
      const RestoreResult done = restorer.run(context, place.tree, restore);
      if (done.errors > 0) {
        throw Error(ErrorCode::kIncomplete,
                    std::to_string(done.errors) + " files could not be restored to " + place.path,
                    "They are named above. The cluster was not started; run the restore again with "
                    "--existing delta.");
      }
      result.restored_bytes += restorer.progress().bytes_restored;
      result.written_bytes += restorer.progress().bytes_written;
    }
  }
}

void PostgresRestorer::prepare(const RecoveryPlan& plan,
                               const PostgresRestoreOptions& options) const {
  const std::string data = fs::absolute(options.target).lexically_normal().string();
  const auto owner = *owner_of(data + "/PG_VERSION");
  for (const char* const leftover :
       {"/standby.signal", "/postmaster.pid", "/postmaster.opts", "/tablespace_map"}) {
    ::unlink((data + leftover).c_str());
  }
  write_file(data + "/recovery.signal", "", false);
  std::vector<std::string> ours{data, data + "/recovery.signal", data + kBegun};
  if (!map_.empty()) {
    write_file(data + "/tablespace_map", postgres::format_tablespace_map(map_), false);
    ours.push_back(data + "/tablespace_map");
  }
  for (const TablespaceLocation& tablespace : map_) {
    // What an earlier cluster here had, a directory of a delta restore included; the server makes
    // the link itself.
    const std::string link = data + "/pg_tblspc/" + std::to_string(tablespace.oid);
    std::error_code ignored;
    fs::remove(link, ignored);
    ours.push_back(tablespace.path);
  }
  if (options.copy) {
    write_file(data + "/postgresql.auto.conf",
               "\n# added by salvor postgres restore --copy\narchive_mode = 'off'\n", true);
    ours.push_back(data + "/postgresql.auto.conf");
  }
  if (options.after != AfterRecovery::kPromote) {
    std::string text = "\n# added by salvor postgres restore\n";
    // A paused one goes to the same place again; one that was not started yet goes as far as there
    // is when it is.
    for (const auto& [name, value] : options.after == AfterRecovery::kPause
                                         ? plan.settings(options.recovery)
                                         : options.recovery.settings()) {
      text += name + " = " + quoted(value) + "\n";
    }
    text += "recovery_target_action = 'pause'\nprimary_conninfo = ''\nrestore_command = " +
            quoted(options.restore_command) + "\n";
    write_file(data + "/postgresql.auto.conf", text, true);
    ours.push_back(data + "/postgresql.auto.conf");
  }
  for (const std::string& path : ours) {
    give_to_owner(path, owner);
  }
}

// How long it took. Throws when the server does not get where it should.
std::chrono::duration<double> PostgresRestorer::wait_for_recovery(
    const Context& context, const RecoveryPlan& plan, const PostgresRestoreOptions& options,
    postgres::LocalServer& server, const WalServer& wal) {
  const MonotonicTime started = context.clock.monotonic();
  const MonotonicTime until = started + options.limit;
  std::string shown;
  while (!arrived(context, server, options.after)) {
    context.check_stopped();
    if (!server.running()) {
      recovery_failed(server, wal, plan);
    }
    if (context.clock.monotonic() > until) {
      throw Error(ErrorCode::kFailed, "recovery did not end in time",
                  "The cluster was not promoted.");
    }
    if (const std::string now = wal.last_asked(); now != shown) {
      shown = now;
      options.on_step("replaying " + now);
    }
    std::this_thread::sleep_for(kPoll);
  }
  return context.clock.monotonic() - started;
}

// A recovery to the end has no target that it could miss. Where it got to is in the history of the
// timeline that it was promoted to.
void PostgresRestorer::require_whole_way(const Context& context, const RecoveryPlan& plan,
                                         const PostgresRestoreOptions& options,
                                         postgres::LocalServer& server,
                                         const PostgresRestoreResult& result) const {
  if (options.recovery.kind != TargetKind::kLatest) {
    return;
  }
  const std::string data = fs::absolute(options.target).lexically_normal().string();
  postgres::Connection connection(context, server.target(), postgres::ConnectionMode::kSql);
  const std::string segment =
      connection.run(context, "SELECT pg_walfile_name(pg_current_wal_insert_lsn())").text(0, 0);
  const auto name = postgres::parse_wal_file_name(segment, archive_.segment_size());
  const postgres::Timeline timeline = name ? name->timeline : postgres::Timeline{};
  const Buffer content =
      read_file(data + "/pg_wal/" + postgres::history_name(timeline), uint64_t{16} << 20);
  const postgres::TimelineHistory history =
      postgres::TimelineHistory::parse(timeline, as_text(content.view()));
  const WalMoment end = end_of_wal(context, archive_, archive_.survey(context), plan.reach);
  const auto early = ended_early(plan, end.last_record, history);
  if (!early) {
    return;
  }
  server.stop();
  // What was promoted is not what was asked for: no server may start from it and archive it.
  if (::unlink((data + "/" + kControl).c_str()) != 0) {
    throw Error::from_errno(errno, "cannot remove " + data + "/" + kControl);
  }
  throw Error(
      ErrorCode::kDamaged, "recovery ended early: " + *early,
      "The WAL is damaged there. The restored files were made unusable, so that no server starts "
      "from them. To have what lies before the damage, recover to a moment before that" +
          (result.last_transaction.empty() ? "." : ": " + result.last_transaction));
}

void PostgresRestorer::recover(const Context& context, const RecoveryPlan& plan,
                               const PostgresRestoreOptions& options,
                               PostgresRestoreResult& result) const {
  const std::string data = fs::absolute(options.target).lexically_normal().string();
  const auto owner = *owner_of(data + "/PG_VERSION");
  const postgres::ControlFile control =
      postgres::parse_control_file(read_file(data + "/" + kControl, 1U << 20).view());
  const std::string binaries = postgres::find_binaries(options.binaries, control.major_version);
  const postgres::RuntimeFolder folder(owner);
  const std::string incoming = data + "/" + kIncoming;
  fs::remove_all(incoming);
  fs::create_directory(incoming);
  give_to_owner(incoming, owner);
  const auto given = ::geteuid() == 0 ? std::optional(owner) : std::nullopt;
  WalServer wal(context, archive_,
                {.socket = folder.path() + "/wal.sock", .folder = incoming, .owner = given});
  wal.expect(
      postgres::segment_name(plan.backup.facts.timeline,
                             postgres::segment_of(plan.backup.facts.start, archive_.segment_size()),
                             archive_.segment_size()));
  const std::string command =
      WalServer::restore_command(kIncoming, options.program, folder.path() + "/wal.sock");
  options.on_step("starting the server to recover to " + options.recovery.display());
  postgres::LocalServer server(
      {.binaries = binaries,
       .data = data,
       .folder = folder.path(),
       .owner = given,
       .superuser = options.superuser,
       .settings = server_settings(plan, options, command, control.major_version),
       .no_network = options.no_network});
  result.recovery_time = wait_for_recovery(context, plan, options, server, wal);
  result.last_transaction = server.log_line("last completed transaction was at log time");
  if (options.after == AfterRecovery::kPromote) {
    require_whole_way(context, plan, options, server, result);
  }
  result.databases = check_databases(context, server);
  if (options.inspect) {
    options.inspect(server, binaries);
  }
  result.stopped = server.log_line("recovery stopping");
  server.stop();
  std::error_code ignored;
  fs::remove_all(incoming, ignored);
  const postgres::ControlFile after =
      postgres::parse_control_file(read_file(data + "/" + kControl, 1U << 20).view());
  result.timeline = after.timeline;
  const bool promoted = after.state == postgres::ClusterState::kShutDown &&
                        after.timeline > plan.backup.facts.timeline;
  if (options.after == AfterRecovery::kPromote && !promoted) {
    throw Error(ErrorCode::kFailed, "the cluster was not promoted although its server said so",
                "Do not use it. Please report this.");
  }
}

}  // namespace salvor
