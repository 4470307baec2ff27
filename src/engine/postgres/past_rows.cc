#include "engine/postgres/past_rows.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include <sys/stat.h>
#include <unistd.h>

#include "connector/postgres/logical/snapshot_session.h"
#include "engine/postgres/wal_archive.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;

using postgres::Connection;
using postgres::ConnectionMode;
using postgres::Step;

std::string make_folder(const std::string& pattern) {
  std::string path = pattern + "XXXXXX";
  if (::mkdtemp(path.data()) == nullptr) {
    throw Error::from_errno(errno, "cannot make a folder in " + pattern);
  }
  return path;
}

}  // namespace

void DumpRows::copy(const Context& context, const postgres::DumpTable& table, Connection& live,
                    const std::string& target) const {
  if (table.without_rows()) {
    throw Error(ErrorCode::kFailed,
                "the backup has no rows of " + table.display() +
                    ": it was unlogged, and the server a standby",
                "Take them from a backup of the primary. Nothing was changed.");
  }
  for (const postgres::DumpPart& part : table.parts) {
    copy_part(context, live,
              copy_in_command(target, table.columns, dump_.manifest().database.encoding), dump_,
              table, part);
  }
}

RecoveredRows::RecoveredRows(const Context& context, Repository& repository,
                             RecoveredRowsOptions options)
    : options_(std::move(options)) {
  folder_ = make_folder(fs::absolute(options_.scratch).string() + "/salvor-undelete-");
  try {
    restore(context, repository);
    start(context);
  } catch (...) {
    remove_all();
    throw;
  }
}

RecoveredRows::~RecoveredRows() {
  remove_all();
}

void RecoveredRows::remove_all() noexcept {
  connection_.reset();
  server_.reset();
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
  if (!socket_folder_.empty()) {
    fs::remove_all(socket_folder_, ignored);
  }
}

void RecoveredRows::restore(const Context& context, Repository& repository) {
  std::vector<PhysicalBackup> backups =
      physical_backups(context, repository, 0, DamagedSnapshots::kLeftOut);
  std::optional<uint64_t> system = options_.system;
  for (const PhysicalBackup& backup : backups) {
    const uint64_t one = backup.facts.system_identifier;
    if (options_.backup && backup.snapshot.id == *options_.backup) {
      system = one;
    }
    if (!options_.backup && !options_.system && system && *system != one) {
      throw Error(ErrorCode::kUsage, "the repository holds backups of several clusters",
                  "Name a snapshot, or choose with --system-id.");
    }
    system = system ? system : one;
  }
  std::erase_if(backups, [&](const PhysicalBackup& backup) {
    return backup.facts.system_identifier != system.value_or(0);
  });
  const WalArchive archive = open_wal_archive(context, repository, system.value_or(0));
  const RecoveryPlan plan = plan_recovery(backups, archive.survey(context), archive.segment_size(),
                                          options_.restore.recovery, options_.backup);
  PostgresRestoreOptions& chosen = options_.restore;
  chosen.target = folder_ + "/data";
  chosen.tablespaces_in = folder_ + "/tablespaces";
  chosen.copy = true;
  chosen.after = AfterRecovery::kPromote;
  const postgres::ServerSettings nothing = postgres::nothing_preloaded();
  chosen.settings.insert(chosen.settings.begin(), nothing.begin(), nothing.end());
  // The server's user must get through to its data.
  ::chmod(folder_.c_str(), 0711);
  PostgresRestorer restorer(repository, archive);
  static_cast<void>(restorer.run(context, plan, chosen));
}

void RecoveredRows::start(const Context& context) {
  const std::string data = options_.restore.target;
  struct stat facts{};
  if (::stat((data + "/PG_VERSION").c_str(), &facts) != 0) {
    throw Error::from_errno(errno, "cannot read " + data + "/PG_VERSION");
  }
  socket_folder_ = make_folder("/tmp/salvor-undelete-");
  std::optional<std::pair<uid_t, gid_t>> owner;
  if (::geteuid() == 0) {
    owner = {facts.st_uid, facts.st_gid};
    if (::chown(socket_folder_.c_str(), facts.st_uid, facts.st_gid) != 0) {
      throw Error::from_errno(errno, "cannot give away " + socket_folder_);
    }
  }
  std::ifstream file(data + "/PG_VERSION");
  unsigned major = 0;
  file >> major;
  std::vector<std::pair<std::string, std::string>> settings{
      {"archive_mode", "off"}, {"autovacuum", "off"}, {"max_logical_replication_workers", "0"}};
  settings.insert(settings.end(), options_.restore.settings.begin(),
                  options_.restore.settings.end());
  server_ = std::make_unique<postgres::LocalServer>(postgres::LocalServerOptions{
      .binaries = postgres::find_binaries(options_.restore.binaries, major),
      .data = data,
      .folder = socket_folder_,
      .owner = owner,
      .superuser = options_.restore.superuser,
      .settings = settings});
  const MonotonicTime until = context.clock.monotonic() + std::chrono::minutes(10);
  while (!connection_) {
    context.check_stopped();
    if (!server_->running() || context.clock.monotonic() > until) {
      throw Error(ErrorCode::kFailed, "the recovered server did not start",
                  "It said: " + server_->log_tail());
    }
    try {
      connection_ = std::make_unique<Connection>(context, server_->target(options_.database),
                                                 ConnectionMode::kSql);
    } catch (const Error& error) {
      if (error.message().find("does not exist") != std::string::npos) {
        throw Error(ErrorCode::kNotFound,
                    "there was no database " + options_.database + " at that moment");
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
  postgres::set_stable_session(context, *connection_, std::chrono::seconds(60));
  manifest_.server_version = connection_->server_version();
  manifest_.database = postgres::read_database(context, *connection_);
  for (const postgres::CatalogTable& table : postgres::read_tables(context, *connection_, {})) {
    manifest_.tables.push_back(postgres::describe_table(table));
  }
}

void RecoveredRows::copy(const Context& context, const postgres::DumpTable& table, Connection& live,
                         const std::string& target) const {
  const std::string encoding = manifest_.database.encoding;
  std::string columns;
  for (const std::string& column : table.columns) {
    columns += (columns.empty() ? "" : ", ") + Connection::quote_identifier(column);
  }
  connection_->begin(context, "COPY (SELECT " + columns + " FROM ONLY " + table.quoted() +
                                  ") TO STDOUT WITH (ENCODING '" + encoding + "')");
  live.begin(context, copy_in_command(target, table.columns, encoding));
  if (connection_->next(context) != Step::kCopyOut || live.next(context) != Step::kCopyIn) {
    throw Error(ErrorCode::kFailed, "the servers do not copy");
  }
  while (const auto row = connection_->receive(context)) {
    live.send(context, *row);
  }
  if (connection_->next(context) != Step::kDone) {
    throw Error(ErrorCode::kFailed, "the recovered server did not end its copy");
  }
  static_cast<void>(connection_->next(context));
  live.end_copy(context);
  while (live.next(context) != Step::kEnd) {
  }
}

}  // namespace salvor
