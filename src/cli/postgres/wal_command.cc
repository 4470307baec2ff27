#include <filesystem>

#include <fmt/format.h>

#include "base/format.h"
#include "cli/application/configured_application.h"
#include "cli/cache_directory.h"
#include "cli/commands.h"
#include "cli/postgres/postgres_options.h"
#include "cli/repository/snapshot_options.h"
#include "cli/repository_access.h"
#include "cli/stores/store_site.h"
#include "engine/postgres/wal_fetch.h"
#include "engine/postgres/wal_push.h"
#include "engine/postgres/wal_server.h"
#include "engine/postgres/wal_streamer.h"
#include "engine/postgres/wal_verify.h"

namespace salvor::cli {
namespace {

// Above 125 a restore_command stops recovery; below, it says "there is no such file", and recovery
// ends and promotes.
constexpr int kCannotTell = 255;

OptionSpec pgdata_option(std::string& target) {
  return {.long_name = "pgdata",
          .value_name = "directory",
          .help = "the cluster's data directory, if the WAL file's path does not show it",
          .target = &target,
          .hint = ValueHint::kDirectory};
}

OptionSpec system_option(std::optional<uint64_t>& target) {
  return {.long_name = "system-id",
          .value_name = "number",
          .help = "the cluster, where the repository holds several (pg_controldata shows it)",
          .target = &target};
}

// ---- push

struct PushChoices {
  std::string path;
  std::string pgdata;
  std::string notes;
  uint64_t batch = 64;
};

std::string notes_directory(const PushChoices& choices, Session& session) {
  if (!choices.notes.empty()) {
    return choices.notes;
  }
  try {
    return cache_root(session.global, session.environment) + "/wal";
  } catch (const Error&) {
    session.terminal.warn(
        "WAL is archived one file at a time, which is slow: there is no place for notes",
        "Name a directory with --notes (or set HOME for the server).");
    return "";
  }
}

int run_push(const PushChoices& choices, Session& session) {
  if (choices.batch > 1024) {
    throw Error(ErrorCode::kUsage, "--batch must be at most 1024");
  }
  const WalOwner owner = wal_owner(choices.path, choices.pgdata);
  const std::string directory = notes_directory(choices, session);
  std::optional<PushNotes> notes;
  if (!directory.empty()) {
    notes.emplace(directory,
                  repository_location(session) + " " + std::to_string(owner.system_identifier));
    if (notes->take(choices.path, session.context.clock.now())) {
      session.terminal.message_at(2, choices.path + " was stored with an earlier one");
      return 0;
    }
  }
  const OpenedRepository opened = open_repository(session, {.lock = LockMode::kNone});
  const WalArchive archive(*opened.repository, owner.system_identifier, owner.segment_size);
  const WalPushResult result =
      push_wal(opened.context, archive, {.path = choices.path, .batch_files = choices.batch},
               notes ? &*notes : nullptr);
  session.terminal.message_at(2, fmt::format("{} stored, {} were there already, {} failed",
                                             result.stored, result.existed, result.failed));
  return 0;
}

CommandSpec push_spec() {
  auto choices = std::make_shared<PushChoices>();
  return {
      .name = "push",
      .summary = "Archive a WAL file (archive_command)",
      .description =
          "Stores one WAL file; success means that it is durable. For postgresql.conf:\n\n"
          "  archive_mode = on\n"
          "  archive_command = 'salvor -r /srv/backup --password-file /etc/salvor.key wal push "
          "%p'\n\n"
          "Other files that the server has marked as ready are stored with it, in parallel; notes "
          "of them in a "
          "local directory make the next calls quick. Pushing a file again is fine; another "
          "content under the same "
          "name is refused and nothing is overwritten. Segments are checked first: length, place "
          "in the log, "
          "cluster.",
      .positionals = {{.name = "path",
                       .target = &choices->path,
                       .help = "the file, %p",
                       .minimum = 1,
                       .hint = ValueHint::kFile}},
      .options = {{.long_name = "batch",
                   .value_name = "n",
                   .help = "store at most n other files that are ready, too",
                   .target = &choices->batch},
                  {.long_name = "notes",
                   .value_name = "directory",
                   .help = "where to note what has been stored ahead",
                   .target = &choices->notes,
                   .environment = "WAL_NOTES",
                   .default_text = "wal in the cache directory",
                   .hint = ValueHint::kDirectory},
                  pgdata_option(choices->pgdata)},
      .exit_codes = with_exit_codes(
          kRepositoryExitCodes, {{0, "the file is stored durably"},
                                 {20, "the file is not what its name says; it was not stored"}}),
      .run = [choices](Session& session) { return run_push(*choices, session); },
  };
}

// ---- fetch

struct FetchChoices {
  std::string name;
  std::string destination;
  std::string pgdata;
  std::string socket;
  uint64_t ahead = 8;
};

int run_fetch(const FetchChoices& choices, Session& session) {
  if (!choices.socket.empty()) {
    return ask_wal_server(choices.socket, choices.name, choices.destination) ? 0 : 1;
  }
  if (choices.ahead > 256) {
    throw Error(ErrorCode::kUsage, "--ahead must be at most 256");
  }
  const WalFetchOptions options{.name = choices.name,
                                .destination = choices.destination,
                                .ahead = static_cast<unsigned>(choices.ahead)};
  const WalOwner owner = wal_owner(choices.destination, choices.pgdata);
  if (take_prefetched(options, owner.system_identifier, owner.segment_size)) {
    return 0;
  }
  const OpenedRepository opened = open_repository(session, {.lock = LockMode::kNone});
  const WalArchive archive(*opened.repository, owner.system_identifier, owner.segment_size);
  if (fetch_wal(opened.context, archive, options) == WalFetched::kAbsent) {
    session.terminal.message(choices.name + " is not in the archive");
    return 1;
  }
  return 0;
}

CommandSpec fetch_spec() {
  auto choices = std::make_shared<FetchChoices>();
  return {
      .name = "fetch",
      .summary = "Bring a WAL file back (restore_command)",
      .description =
          "Brings one file of the archive to the server that recovers. For postgresql.conf:\n\n"
          "  restore_command = 'salvor -r /srv/backup --password-file /etc/salvor.key wal fetch %f "
          "%p'\n\n"
          "Exit status 1 says that there is no such file, with which recovery ends and the server "
          "starts; it is "
          "given only when the repository was opened and neither the file nor a later one is "
          "there. Everything else "
          "(storage unreachable, wrong password, damage, a hole in the archive, wrong usage) ends "
          "with 255, which "
          "stops recovery.",
      .positionals =
          {{.name = "name", .target = &choices->name, .help = "the file's name, %f", .minimum = 1},
           {.name = "path",
            .target = &choices->destination,
            .help = "where to put it, %p",
            .minimum = 1,
            .hint = ValueHint::kFile}},
      .options = {{.long_name = "ahead",
                   .value_name = "n",
                   .help = "bring n segments behind it, too",
                   .target = &choices->ahead},
                  pgdata_option(choices->pgdata),
                  {.long_name = "socket",
                   .value_name = "path",
                   .help = "ask the salvor that recovers the cluster",
                   .target = &choices->socket,
                   .hidden = true}},
      .exit_codes = {{0, "the file is there"},
                     {1, "the archive has no such file, and none behind it"},
                     {255, "any failure: recovery must stop"}},
      .failure_status = kCannotTell,
      .run = [choices](Session& session) { return run_fetch(*choices, session); },
  };
}

// ---- stream

struct StreamChoices {
  std::optional<std::string> source;
  ConfigurationOptions configuration;
  PostgresServerOptions server;
  std::optional<std::string> slot;
  bool create_slot = false;
  std::string spool;
  Size spool_limit{uint64_t{4} << 30};
  Duration flush = std::chrono::seconds(3);
  Duration silence = std::chrono::seconds(60);
};

int follow(const StreamChoices& choices, Session& session, OpenedRepository& opened) {
  if (choices.flush < std::chrono::milliseconds(100)) {
    throw Error(ErrorCode::kUsage, "--flush must be at least 100ms");
  }
  if (choices.silence < std::chrono::seconds(1)) {
    throw Error(ErrorCode::kUsage, "--silence must be at least 1s");
  }
  run_wal_stream(
      opened.context, *opened.repository,
      {.target = connection_target(choices.server, session.environment),
       .slot = choices.slot.value_or("salvor"),
       .create_slot = choices.create_slot,
       .spool = choices.spool,
       .spool_limit_bytes = choices.spool_limit.bytes,
       .flush_every = choices.flush,
       .silence = choices.silence,
       .on_step = [&session](const std::string& step) { session.terminal.message(step); }});
  session.terminal.message("stopped");
  return 0;
}

// Server, slot and repository as the configuration says; the spool is in its state directory.
int follow_source(StreamChoices choices, Session& session) {
  ConfiguredApplication configured(session, choices.configuration);
  const SourceSpec& source = source_of(configured.application(), *choices.source);
  if (source.kind != "postgres") {
    throw Error(ErrorCode::kUsage, "source \"" + printable(source.name) + "\" is of kind " +
                                       source.kind +
                                       ", WAL can be streamed from sources of kind postgres");
  }
  choices.server.dbname = resolve_text(source.settings.text("url"), configured.site().secrets);
  if (!choices.slot) {
    choices.slot = source.settings.text("slot", "salvor");
    choices.create_slot = true;
  }
  if (choices.spool.empty()) {
    choices.spool = configured.application().state_directory + "/wal-spool/" + source.name;
    std::filesystem::create_directories(choices.spool);
  }
  SourceRepository repository(configured.site(), session.context, source,
                              {.lock = LockMode::kNone});
  return follow(choices, session, repository.opened());
}

int run_stream(const StreamChoices& choices, Session& session) {
  if (choices.source) {
    return follow_source(choices, session);
  }
  if (choices.spool.empty()) {
    throw Error(ErrorCode::kUsage, "no spool directory was given",
                "--spool names a directory on a local disk, where WAL is safe until it is in the "
                "repository.");
  }
  OpenedRepository opened = open_repository(session, {.lock = LockMode::kNone});
  return follow(choices, session, opened);
}

CommandSpec stream_spec() {
  auto choices = std::make_shared<StreamChoices>();
  CommandSpec spec{
      .name = "stream",
      .summary = "Follow a server's WAL, seconds behind",
      .description =
          "Receives WAL as the server writes it, over the replication protocol, until it is told "
          "to end (SIGINT, SIGTERM). "
          "A replication slot makes the server keep what has not been received. What arrives is "
          "made durable in the spool "
          "directory within a second, and only then reported as flushed; whole segments go to the "
          "repository at once, the "
          "unfinished one every few seconds.\n\n"
          "A repository that is away does not touch the server: the spool grows to its limit, "
          "after that the server keeps its "
          "WAL. A connection that breaks is made again. Keep the spool: what is in it may be "
          "nowhere else; when a stream is started, what the spool holds is stored first of all, of "
          "every cluster, also when no server answers any more.\n\n"
          "With a source of the configuration, server, slot (made if there is none) and repository "
          "are its own, and the spool is in the state directory.",
      .positionals = {{.name = "source",
                       .target = &choices->source,
                       .help = "a PostgreSQL source of the configuration"}},
      .options = {dbname_option(choices->server),
                  {.long_name = "create-slot",
                   .help = "make the replication slot if there is none",
                   .target = &choices->create_slot},
                  {.long_name = "flush",
                   .value_name = "duration",
                   .help = "how often the unfinished segment goes to the repository",
                   .target = &choices->flush,
                   .default_text = "3s"},
                  {.long_name = "silence",
                   .value_name = "duration",
                   .help = "connect again when the server has said nothing for so long",
                   .target = &choices->silence,
                   .default_text = "60s"},
                  {.long_name = "slot",
                   .value_name = "name",
                   .help = "the replication slot",
                   .target = &choices->slot,
                   .default_text = "salvor"},
                  {.long_name = "spool",
                   .value_name = "directory",
                   .help = "where WAL waits on a local disk",
                   .target = &choices->spool,
                   .environment = "WAL_SPOOL",
                   .hint = ValueHint::kDirectory},
                  {.long_name = "spool-limit",
                   .value_name = "size",
                   .help = "the most that may wait there",
                   .target = &choices->spool_limit,
                   .default_text = "4G"}},
      .exit_codes = with_exit_codes(
          kRepositoryExitCodes,
          {{0, "told to end, all that was received is in the repository or the spool"},
           {20,
            "the server no longer has WAL that was not received, or was set back to an earlier "
            "state: a new backup is needed"}}),
      .run = [choices](Session& session) { return run_stream(*choices, session); },
  };
  add_options(spec.options, configuration_option_table(choices->configuration));
  return spec;
}

// ---- verify, prune

uint64_t chosen_system(const Context& context, Repository& repository,
                       const std::optional<uint64_t>& given) {
  if (given) {
    return *given;
  }
  const std::vector<uint64_t> systems = archived_systems(context, repository);
  if (systems.empty()) {
    throw Error(ErrorCode::kNotFound, "the repository holds no WAL",
                "`salvor wal push` as archive_command, or `salvor wal stream`, brings some.");
  }
  if (systems.size() > 1) {
    std::string list;
    for (const uint64_t system : systems) {
      list += (list.empty() ? "" : ", ") + std::to_string(system);
    }
    throw Error(ErrorCode::kUsage, "the repository holds WAL of several clusters",
                "Choose one with --system-id: " + list);
  }
  return systems.front();
}

struct VerifyChoices {
  std::optional<uint64_t> system;
  bool read_data = false;
};

void print_report_json(Session& session, const WalReport& report, uint64_t system) {
  JsonWriter json;
  json.begin_message("summary");
  json.field("system_identifier", std::to_string(system))
      .field("segments", report.segments)
      .field("good", report.good());
  json.key("backups").begin_array();
  for (const BackupReach& reach : report.backups) {
    json.begin_object();
    json.field("snapshot_id", reach.backup.snapshot.id.hex())
        .field("stop", reach.backup.facts.stop.text())
        .field("timeline", uint64_t{reach.timeline.value})
        .field("reaches", reach.end.text());
    json.field("missing", reach.missing);
    json.end_object();
  }
  json.end_array();
  json.field("damaged", report.damaged);
  session.terminal.print_json(json.end_object());
}

int run_verify(const VerifyChoices& choices, Session& session) {
  const OpenedRepository opened = open_repository(session, {.lock = LockMode::kNone});
  const uint64_t system = chosen_system(opened.context, *opened.repository, choices.system);
  const WalArchive archive = open_wal_archive(opened.context, *opened.repository, system);
  const WalReport report =
      verify_wal(opened.context, archive,
                 physical_backups(opened.context, *opened.repository, system), choices.read_data);
  if (session.terminal.json()) {
    print_report_json(session, report, system);
  } else {
    Terminal& out = session.terminal;
    out.print_line(fmt::format("cluster {}: {} segments of {}", system, report.segments,
                               format_bytes(archive.segment_size().bytes)));
    for (const WalTimeline& timeline : report.timelines) {
      for (const WalRun& run : timeline.runs) {
        out.print_line(fmt::format(
            "  timeline {}: {} to {}", timeline.timeline.value,
            postgres::segment_name(timeline.timeline, run.first, archive.segment_size()),
            postgres::segment_name(timeline.timeline, run.last, archive.segment_size())));
      }
    }
    for (const BackupReach& reach : report.backups) {
      out.print_line(fmt::format(
          "backup {}: from {} to {} on timeline {}{}", reach.backup.snapshot.id.short_hex(),
          reach.backup.facts.stop.text(), reach.end.text(), reach.timeline.value,
          reach.missing.empty() ? "" : ", then a hole at " + reach.missing.front()));
    }
    if (report.backups.empty()) {
      out.print_line("no backup of this cluster: the WAL alone cannot be restored");
    }
    for (const std::string& damage : report.damaged) {
      session.events.on(ItemFailed{"verify", "WAL", damage, ""});
    }
  }
  return report.good() ? 0 : exit_status(ErrorCode::kDamaged);
}

CommandSpec verify_spec() {
  auto choices = std::make_shared<VerifyChoices>();
  return {
      .name = "verify",
      .summary = "Prove that the WAL is unbroken",
      .description =
          "Follows the archived WAL from each backup on, over all timelines, and names every "
          "segment that is missing. "
          "With --read-data all of it is read, decrypted and checked as well.",
      .options = {{.long_name = "read-data",
                   .help = "read and check every file",
                   .target = &choices->read_data},
                  system_option(choices->system)},
      .exit_codes =
          with_exit_codes(kRepositoryExitCodes, {{20, "a segment is missing or damaged"}}),
      .run = [choices](Session& session) { return run_verify(*choices, session); },
  };
}

struct PruneChoices {
  std::optional<uint64_t> system;
  std::optional<uint64_t> keep_days;
  bool dry_run = false;
};

int run_prune(const PruneChoices& choices, Session& session) {
  const OpenedRepository opened =
      open_repository(session, {.lock = LockMode::kShared, .no_lock = NoLock::kIgnored});
  const Context& context = opened.context;
  const uint64_t system = chosen_system(context, *opened.repository, choices.system);
  const WalArchive archive = open_wal_archive(context, *opened.repository, system);
  const std::vector<PhysicalBackup> backups = physical_backups(context, *opened.repository, system);
  if (backups.empty()) {
    throw Error(
        ErrorCode::kFailed, "there is no backup of cluster " + std::to_string(system),
        "Nothing was removed: without a backup nobody can say which WAL is needed. Make one with "
        "`salvor postgres backup`.");
  }
  std::optional<WallTime> since;
  if (choices.keep_days) {
    since = context.clock.now() - std::chrono::days(*choices.keep_days);
  }
  const PhysicalBackup& oldest = oldest_needed(backups, archive.survey(context), since);
  const auto first = postgres::segment_of(oldest.facts.start, archive.segment_size());
  uint64_t bytes = 0;
  opened.lock->confirm(context);
  const size_t removed = archive.remove_before(context, first, choices.dry_run, &bytes);
  session.terminal.print_summary(
      fmt::format("{} {} WAL files ({}) before {}, where backup {} of {} starts",
                  choices.dry_run ? "would remove" : "removed", removed, format_bytes(bytes),
                  postgres::segment_name(oldest.facts.timeline, first, archive.segment_size()),
                  oldest.snapshot.id.short_hex(), postgres::format_utc(oldest.facts.stop_time)));
  return 0;
}

CommandSpec prune_spec() {
  auto choices = std::make_shared<PruneChoices>();
  return {
      .name = "prune",
      .summary = "Remove WAL that no backup needs",
      .description =
          "Removes archived WAL from before the oldest physical backup that is kept: after `salvor "
          "forget` has removed "
          "old backups. With --keep-days, WAL is kept only as far back as is needed to recover to "
          "any moment of the last "
          "n days; older backups can then be restored to the moment at which they were made, and "
          "no other.\n\n"
          "Without any backup nothing is removed.",
      .options = {{.long_name = "dry-run",
                   .short_name = 'n',
                   .help = "only say what would be removed",
                   .target = &choices->dry_run},
                  {.long_name = "keep-days",
                   .value_name = "n",
                   .help = "keep what recovery to any moment of the last n days needs",
                   .target = &choices->keep_days},
                  system_option(choices->system)},
      .exit_codes = kRepositoryExitCodes,
      .run = [choices](Session& session) { return run_prune(*choices, session); },
  };
}

}  // namespace

CommandSpec wal_command() {
  return {
      .name = "wal",
      .summary = "Archive PostgreSQL's WAL and bring it back",
      .description =
          "PostgreSQL's write-ahead log, kept in the repository beside the backups: with it a "
          "cluster comes back to any "
          "moment. See docs/postgres.md.",
      .commands = {fetch_spec(), prune_spec(), push_spec(), stream_spec(), verify_spec()},
  };
}

}  // namespace salvor::cli
