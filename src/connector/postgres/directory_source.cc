#include "connector/postgres/directory_source.h"

#include <algorithm>
#include <thread>

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/format.h"
#include "connector/postgres/backup_label.h"
#include "connector/postgres/checked_file.h"
#include "connector/postgres/control_file.h"
#include "connector/postgres/damage_report.h"
#include "connector/postgres/directory_walk.h"
#include "connector/postgres/live_backup.h"
#include "connector/postgres/page_parts.h"
#include "connector/postgres/streamed_file.h"
#include "connector/postgres/wal_segment.h"

namespace salvor::postgres {
namespace {

constexpr size_t kSmallFilesBytes = size_t{32} << 20;  // in memory
constexpr int kControlTries = 50;
constexpr std::chrono::milliseconds kBetweenTries{20};
constexpr const char* kControl = "global/pg_control";

std::string checksum_text(uint32_t crc) {
  return {reinterpret_cast<const char*>(&crc), sizeof crc};
}

// As servers write it: "2026-11-21 06:55:20 GMT".
std::string manifest_time(const Timestamp& time) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S} GMT", fmt::gmtime(static_cast<time_t>(time.seconds)));
}

struct ReadControl {
  Buffer bytes;
  ControlFile file;
  struct stat status{};
};

// The server writes it at once, but that may be seen half done.
ReadControl read_control(const std::string& directory) {
  const std::string path = directory + "/" + kControl;
  for (int attempt = 1;; ++attempt) {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ReadControl control;
    if (!file || ::fstat(file.get(), &control.status) != 0) {
      throw Error::from_errno(errno, "cannot read " + path);
    }
    control.bytes.resize(kControlFileBytes);
    control.bytes.resize(pread_full(file.get(), control.bytes.bytes(), 0, path));
    try {
      control.file = parse_control_file(control.bytes.view());
      return control;
    } catch (Error& error) {
      if (error.code() != ErrorCode::kDamaged || attempt == kControlTries) {
        error.within("cannot use " + path);
        throw;
      }
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
}

}  // namespace

struct DirectorySource::State {
  DirectoryOptions options;
  std::unique_ptr<LiveBackup> server;
  ControlFile control;
  std::string version;
  std::string shown;
  MemoryBudget budget{kSmallFilesBytes};
  std::atomic<uint64_t> estimated = 0;
  std::shared_ptr<BackupResults> results = std::make_shared<BackupResults>();
  BackupFacts facts;
  std::optional<EarlierBackup> earlier;
  std::unordered_map<std::string, RebuiltFile> known;
  TreeSink* sink = nullptr;
  std::stop_token stop;
  std::function<void(const std::string&)> tell = [](const std::string&) {};
  BackupManifest manifest;

  void look_back(const Context& context);
  [[nodiscard]] std::string why_all(const Context& context, const EarlierBackup& last);
  // Adds a file of known content; `like`: its owner and mode.
  void add(TreeSink::Directory* directory, const std::string& folder, Node like,
           const std::string& name, Buffer content);
  void add_control(const DirectoryWalk& walk);
  void add_wal(const DirectoryWalk& walk, const Node& like);
  void list_files(const DirectoryWalk& walk);
};

DirectorySource::DirectorySource(const Context& context, DirectoryOptions options)
    : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.options = std::move(options);
  state.control = read_control(state.options.directory).file;
  if (state.control.block_bytes != kPageBytes) {
    throw Error(ErrorCode::kFailed, "the server was built with a page size of its own",
                "Salvor knows pages of 8 KiB.");
  }
  state.server = std::make_unique<LiveBackup>(context, state.options.target);
  state.server->require_same(context, state.options.directory, state.control.system_identifier);
  const int version = state.server->connection().server_version();
  state.version = fmt::format("{}.{}", version / 10000, version % 10000);
  state.shown = state.options.directory + " (" + state.server->connection().display() + ")";
}

DirectorySource::~DirectorySource() = default;

// Why nothing of the earlier backup can be taken over; "" when files can.
std::string DirectorySource::State::why_all(const Context& context, const EarlierBackup& last) {
  if (last.full) {
    return "as was asked for";
  }
  if (!last.facts.read_since) {
    return "backup " + last.name + " was not made from the data directory";
  }
  if (last.facts.damaged) {
    return "backup " + last.name + " holds damaged pages";
  }
  try {
    const Buffer text = read_earlier(context, *last.files, "backup_manifest");
    for (const ManifestFile& file : parse_backup_manifest(text.view()).files) {
      RebuiltFile known_file{.size = file.size};
      if (file.algorithm == "CRC32C" && file.checksum.size() == sizeof known_file.crc) {
        std::memcpy(&known_file.crc, file.checksum.data(), sizeof known_file.crc);
        known.emplace(file.path, known_file);
      }
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDamaged) {
      throw;
    }
    known.clear();
    return "backup " + last.name + " cannot be read: " + error.message();
  }
  return "";
}

void DirectorySource::State::look_back(const Context& context) {
  if (!earlier) {
    return;
  }
  earlier->turn = facts.turn = earlier->facts.turn + 1;
  if (const std::string why = why_all(context, *earlier); !why.empty()) {
    tell("all files are read: " + why);
  }
}

void DirectorySource::State::add(TreeSink::Directory* directory, const std::string& folder,
                                 Node like, const std::string& name, Buffer content) {
  const std::string path = folder.empty() ? name : folder + "/" + name;
  const RebuiltFile facts_of{.size = content.size(), .crc = crc32c(content.view())};
  if (folder != "pg_wal" && folder != "pg_wal/archive_status" && name != "backup_manifest") {
    manifest.files.push_back({.path = path,
                              .size = facts_of.size,
                              .modified = manifest_time(like.mtime),
                              .algorithm = "CRC32C",
                              .checksum = checksum_text(facts_of.crc)});
  }
  like.name = name;
  like.size = content.size();
  like.inode = like.device_id = 0;  // it is not a file on that disk
  like.links = 1;
  sink->add_file(
      directory, std::move(like),
      std::make_shared<BufferedFile>("/" + path, std::move(content), MemoryBudget::Lease()));
}

// After all other files of the cluster: on a standby it says up to where they reach.
void DirectorySource::State::add_control(const DirectoryWalk& walk) {
  ReadControl read = read_control(options.directory);
  if (read.file.system_identifier != control.system_identifier) {
    throw Error(ErrorCode::kFailed, options.directory + " was replaced during the backup");
  }
  control = read.file;
  Node node = MetadataReader(false).node_from_stat("pg_control", read.status);
  add(walk.open().at("global"), "global", std::move(node), "pg_control", std::move(read.bytes));
}

// The log from start to stop, which makes the files consistent, and where timelines began.
void DirectorySource::State::add_wal(const DirectoryWalk& walk, const Node& like) {
  const std::string folder = options.directory + "/pg_wal";
  TreeSink::Directory* const directory = walk.open().at("pg_wal");
  MetadataReader metadata(false);
  const auto status_folder = walk.open().find("pg_wal/archive_status");
  const auto mark_archived = [&](const std::string& name) {  // it need not be archived again
    if (status_folder != walk.open().end()) {
      std::string marked = name;
      add(status_folder->second, "pg_wal/archive_status", like, marked.append(".done"), Buffer());
    }
  };
  const SegmentNumber last = segment_before(facts.stop, control.segment_size);
  for (SegmentNumber segment = segment_of(facts.start, control.segment_size); segment <= last;
       ++segment.value) {
    const std::string name = segment_name(facts.timeline, segment, control.segment_size);
    const std::string location = fmt::format("{}/{}", folder, name);
    UniqueFd fd(::open(location.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status{};
    if (!fd || ::fstat(fd.get(), &status) != 0) {
      throw Error(ErrorCode::kFailed, "the WAL segment " + name + " is no longer in pg_wal",
                  "No snapshot was made. Give the role REPLICATION (for a slot), or raise "
                  "wal_keep_size.");
    }
    Buffer head(kWalHeaderBytes);
    head.resize(pread_full(fd.get(), head.bytes(), 0, location));
    const WalSegmentHeader header = parse_wal_segment(head.view());
    if (static_cast<uint64_t>(status.st_size) != control.segment_size.bytes ||
        header.address != start_of(segment, control.segment_size) ||
        header.system_identifier != control.system_identifier) {
      throw Error(ErrorCode::kDamaged, location + " is not the segment that its name says");
    }
    const std::string path = "pg_wal/" + name;
    results->expect(path);
    sink->add_file(
        directory, metadata.node_from_stat(name, status),
        std::make_shared<CheckedFile>(
            std::move(fd), CheckedFileOptions{.path = path, .size = control.segment_size.bytes},
            results));
    mark_archived(name);
  }
  for (uint32_t timeline = 2; timeline <= facts.timeline.value; ++timeline) {
    const std::string name = history_name({timeline});
    try {
      add(directory, "pg_wal", like, name, read_file(fmt::format("{}/{}", folder, name), 1U << 20));
      mark_archived(name);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kNotFound) {
        throw;
      }
    }
  }
}

void DirectorySource::State::list_files(const DirectoryWalk& walk) {
  const std::map<std::string, RebuiltFile> read = results->wait(stop);
  for (const WalkedFile& file : walk.files()) {
    const RebuiltFile& content = read.at(file.path);
    manifest.files.push_back({.path = file.path,
                              .size = content.size,
                              .modified = manifest_time(file.modified),
                              .algorithm = "CRC32C",
                              .checksum = checksum_text(content.crc)});
  }
}

void DirectorySource::stream_into(const Context& context, TreeSink& sink) {
  State& state = *state_;
  state.sink = &sink;
  state.stop = context.stop;
  state.look_back(context);
  state.estimated = state.server->cluster_bytes(context);
  const Lsn start =
      state.server->start(context, state.options.label, state.options.fast_checkpoint);
  // The checkpoint has just written it: the file system's own clock.
  const ReadControl begun = read_control(state.options.directory);
  state.control = begun.file;
  MetadataReader metadata(false);
  const WallTime written = metadata.node_from_stat("pg_control", begun.status).mtime.wall();
  state.facts.read_since = std::min(written, context.clock.now());

  DirectoryWalk walk(context, sink,
                     {.directory = state.options.directory,
                      .version_directory = fmt::format("PG_{}_{}", state.control.major_version,
                                                       state.control.catalog_version),
                      .check_pages = state.control.page_checksums,
                      .start = start,
                      .cell = cell_bytes_for(state.estimated),
                      .threads = state.options.threads,
                      .budget = state.budget,
                      .results = state.results,
                      .earlier = state.earlier ? &*state.earlier : nullptr,
                      .known = state.known.empty() ? nullptr : &state.known});
  walk.run();
  state.list_files(walk);  // waits until all has been read
  state.add_control(walk);
  const LiveBackupStop stop = state.server->stop(context);
  const BackupLabel label = parse_backup_label(stop.label);
  if (label.start != start || label.timeline != state.control.timeline) {
    throw Error(ErrorCode::kFailed, "the server changed its timeline during the backup",
                "No snapshot was made. Run the backup again.");
  }
  state.facts.system_identifier = state.control.system_identifier;
  state.facts.version = state.version;
  state.facts.timeline = label.timeline;
  state.facts.start = start;
  state.facts.stop = stop.lsn;
  state.facts.stop_time = state.server->now(context);
  Node like = metadata.node_from_stat("", begun.status);
  like.mtime = like.atime = like.ctime = LocalZone().stamp(context.clock.now());
  TreeSink::Directory* const root = sink.root();
  state.add(root, "", like, "backup_label", Buffer::copy_of(as_bytes(stop.label)));
  // Also when it is empty, as in the server's own backups.
  state.add(root, "", like, "tablespace_map", Buffer::copy_of(as_bytes(stop.tablespace_map)));
  state.add_wal(walk, like);
  if (state.control.major_version >= 17) {
    state.manifest.version = 2;
    state.manifest.system_identifier = state.control.system_identifier;
  }
  state.manifest.wal_ranges = {{label.timeline, start, stop.lsn}};
  const std::string text = format_backup_manifest(state.manifest);
  state.add(root, "", like, "backup_manifest", Buffer::copy_of(as_bytes(text)));
  for (auto it = walk.open().rbegin(); it != walk.open().rend(); ++it) {
    sink.close_directory(it->second);
  }
  if (state.earlier && !state.known.empty()) {
    state.facts.since = walk.taken_over() > 0 ? state.earlier->name : "";
    state.tell(fmt::format("{} of {} files are unchanged since backup {}", walk.taken_over(),
                           walk.files().size(), state.earlier->name));
  }
}

// All has been read by now.
void DirectorySource::finish(const Context& context) {
  static_cast<void>(state_->results->wait(context.stop));  // WAL that could not be read
  state_->facts.damaged = !state_->results->damaged().empty();
  report_damage(context, *state_->sink, *state_->results, false, state_->options.target,
                &state_->server->connection());
  state_->server.reset();
}

void DirectorySource::build_upon(EarlierBackup earlier,
                                 std::function<void(const std::string&)> tell) {
  state_->earlier = std::move(earlier);
  state_->tell = std::move(tell);
}

std::vector<std::string> DirectorySource::paths() const {
  return {snapshot_path(state_->control.system_identifier)};
}

std::vector<std::string> DirectorySource::tags() const {
  return to_tags(state_->facts);
}

uint64_t DirectorySource::system_identifier() const {
  return state_->control.system_identifier;
}

const std::string& DirectorySource::server_version() const {
  return state_->version;
}

std::string DirectorySource::display() const {
  return state_->shown;
}

bool DirectorySource::page_checksums() const {
  return state_->control.page_checksums;
}

uint64_t DirectorySource::estimated_bytes() const {
  return state_->estimated;
}

const BackupFacts& DirectorySource::facts() const {
  return state_->facts;
}

}  // namespace salvor::postgres
