#include "connector/postgres/physical_receiver.h"

#include <algorithm>

#include "base/format.h"
#include "connector/postgres/backup_manifest.h"
#include "connector/postgres/wal_segment.h"

namespace salvor::postgres {
namespace {

// Files below this wait in memory. It must not be below the size from which the engine reads a file
// on its own (FileSaver): a file that is still arriving in a batch that is not full yet would wait
// for itself.
constexpr uint64_t kSmallFile = uint64_t{1} << 20;
constexpr size_t kManifestLimit = UINT32_MAX;
constexpr uint32_t kDirectoryMode = 0700;

[[noreturn]] void bad(const std::string& what) {
  throw Error(ErrorCode::kDamaged, "the backup did not arrive as the server made it: " + what,
              "No snapshot was made. Run the backup again; if this comes again look at the network "
              "and at the server's log.");
}

Node make_node(std::string name, const TarEntry& entry, NodeType type) {
  Node node;
  node.name = std::move(name);
  node.type = type;
  node.mode = (entry.permissions & 0777U) | (type == NodeType::kDir ? go_mode::kDir : 0U) |
              (type == NodeType::kSymlink ? go_mode::kSymlink : 0U);
  node.mtime = node.atime = node.ctime = Timestamp{.seconds = entry.modified};
  node.uid = entry.uid;
  node.gid = entry.gid;
  node.user = entry.user;
  node.group = entry.group;
  return node;
}

bool in_pg_wal(std::string_view path) {
  return path.starts_with("pg_wal/");
}

}  // namespace

PhysicalReceiver::PhysicalReceiver(const Context& context, TreeSink& sink, bool check_pages,
                                   MemoryBudget& budget, std::atomic<uint64_t>& estimated_bytes)
    : context_(context),
      sink_(sink),
      check_pages_(check_pages),
      budget_(budget),
      estimated_bytes_(estimated_bytes) {
  directories_[""] = sink.root();
}

PhysicalReceiver::~PhysicalReceiver() = default;

void PhysicalReceiver::started(const BaseBackupStart& start) {
  start_ = start;
  estimated_bytes_ = start.estimated_bytes;
}

void PhysicalReceiver::archive(uint32_t tablespace_oid) {
  prefix_ = tablespace_oid == 0 ? "" : "pg_tblspc/" + std::to_string(tablespace_oid) + "/";
  parser_.emplace(static_cast<TarReceiver&>(*this));
}

void PhysicalReceiver::data(ByteView bytes) {
  parser_->feed(bytes);
}

void PhysicalReceiver::archive_end() {
  parser_->finish();
  parser_.reset();
}

void PhysicalReceiver::manifest(ByteView bytes) {
  if (manifest_.size() + bytes.size() > kManifestLimit) {
    bad("its manifest is larger than 4 GiB");
  }
  manifest_.append(bytes);
}

// The open directory at `path`; those that the archive did not announce are made up.
TreeSink::Directory* PhysicalReceiver::directory(const std::string& path, const TarEntry& like) {
  const auto found = directories_.find(path);
  if (found != directories_.end()) {
    return found->second;
  }
  const size_t slash = path.rfind('/');
  TreeSink::Directory* parent =
      directory(slash == std::string::npos ? "" : path.substr(0, slash), like);
  TarEntry made_up = like;
  made_up.permissions = last_directory_ ? last_directory_->permissions : kDirectoryMode;
  TreeSink::Directory* opened = sink_.open_directory(
      parent, make_node(path.substr(slash == std::string::npos ? 0 : slash + 1),
                        like.type == TarEntryType::kDirectory ? like : made_up, NodeType::kDir));
  directories_[path] = opened;
  return opened;
}

void PhysicalReceiver::entry(const TarEntry& entry) {
  context_.check_stopped();
  const std::string path = prefix_ + entry.path;
  const size_t slash = path.rfind('/');
  const std::string above = slash == std::string::npos ? "" : path.substr(0, slash);
  TarEntry parent_like = entry;
  parent_like.type = TarEntryType::kFile;
  switch (entry.type) {
    case TarEntryType::kDirectory:
      if (!entry.path.empty()) {
        last_directory_ = entry;
        static_cast<void>(directory(above, parent_like));
        static_cast<void>(directory(path, entry));
      }
      return;
    case TarEntryType::kSymlink: {
      Node node = make_node(path.substr(slash + 1), entry, NodeType::kSymlink);
      node.mode |= go_mode::kPermissions;
      node.link_target = entry.link_target;
      sink_.add_other(directory(above, parent_like), std::move(node));
      return;
    }
    case TarEntryType::kFile:
      parent_ = directory(above, parent_like);
      begin_file(path, entry);
  }
}

void PhysicalReceiver::begin_file(const std::string& path, const TarEntry& entry) {
  if (path == "backup_manifest" || !received_.emplace(path, Received{}).second) {
    bad("the file " + printable(path) + " came twice");
  }
  path_ = path;
  const size_t slash = path.rfind('/');
  node_ =
      make_node(path.substr(slash == std::string::npos ? 0 : slash + 1), entry, NodeType::kFile);
  node_.size = entry.size;
  node_.links = 1;
  size_ = entry.size;
  crc_ = Crc32c();
  block_ = 0;
  partial_page_.clear();
  relation_ = check_pages_ ? parse_relation_path(path_) : std::nullopt;
  keep_content_ = in_pg_wal(path_);
  if (size_ < kSmallFile) {
    lease_ = budget_.acquire(size_, context_.stop);
    small_ = Buffer();
    small_.reserve(size_);
    large_.reset();
  } else {
    large_ = std::make_shared<StreamedFile>("/" + path_);
    sink_.add_file(parent_, node_, large_);
  }
}

void PhysicalReceiver::content(ByteView bytes) {
  crc_.update(bytes);
  if (relation_) {
    check_pages(bytes);
  }
  if (keep_content_) {
    keep_content_ = false;
    wal_heads_[path_.substr(path_.rfind('/') + 1)] =
        Buffer::copy_of(bytes.first(std::min(bytes.size(), kWalHeaderBytes)));
  }
  if (large_) {
    large_->write(bytes, context_.stop);
  } else {
    small_.append(bytes);
  }
}

void PhysicalReceiver::file_end() {
  received_[path_] = {size_, crc_.value()};
  if (large_) {
    large_->finish(context_.stop);
    large_.reset();
    return;
  }
  if (path_ == "global/pg_control") {
    control_ = parse_control_file(small_.view());
  }
  sink_.add_file(parent_, node_,
                 std::make_shared<BufferedFile>("/" + path_, std::move(small_), std::move(lease_)));
}

// Pages may be split over messages.
void PhysicalReceiver::check_pages(ByteView bytes) {
  if (!partial_page_.empty()) {
    const size_t part = std::min(bytes.size(), kPageBytes - partial_page_.size());
    partial_page_.append(bytes.first(part));
    bytes = bytes.subspan(part);
    if (partial_page_.size() == kPageBytes) {
      check_page(partial_page_.view());
      partial_page_.clear();
    }
  }
  while (bytes.size() >= kPageBytes) {
    check_page(bytes.first(kPageBytes));
    bytes = bytes.subspan(kPageBytes);
  }
  if (!bytes.empty()) {
    partial_page_.append(bytes);
  }
}

void PhysicalReceiver::check_page(ByteView page) {
  const uint32_t block = relation_->first_block() + block_++;
  if (judge_page(page, block, start_.lsn) != PageVerdict::kDamaged) {
    return;
  }
  if (damaged_.empty() || damaged_.back().path != path_) {
    damaged_.push_back({.path = path_, .relation = *relation_});
    damaged_.back().relation.fork = {};
  }
  DamagedPages& pages = damaged_.back();
  ++pages.count;
  if (pages.blocks.size() < kMostBlocks) {
    pages.blocks.push_back(block);
  }
}

void PhysicalReceiver::finish() {
  Node node;
  node.name = "backup_manifest";
  node.mode = 0600;
  node.links = 1;
  if (last_directory_) {
    node.uid = last_directory_->uid;
    node.gid = last_directory_->gid;
    node.user = last_directory_->user;
    node.group = last_directory_->group;
  }
  node.mtime = node.atime = node.ctime = LocalZone().stamp(context_.clock.now());
  node.size = manifest_.size();
  sink_.add_file(directories_.at(""), node,
                 std::make_shared<BufferedFile>(
                     "/backup_manifest", Buffer::copy_of(manifest_.view()), MemoryBudget::Lease()));
  for (auto it = directories_.rbegin(); it != directories_.rend(); ++it) {
    sink_.close_directory(it->second);
  }
}

void PhysicalReceiver::fail() {
  if (large_) {
    large_->fail();
    large_.reset();
  }
}

void PhysicalReceiver::verify(uint64_t system_identifier, SegmentSize segment_size,
                              const BaseBackupStop& stop) const {
  if (!control_) {
    bad("it has no global/pg_control");
  }
  if (control_->system_identifier != system_identifier) {
    bad("it is of another cluster than the server said");
  }
  if (!received_.contains("backup_label")) {
    bad("it has no backup_label");
  }
  verify_files();
  verify_wal(system_identifier, segment_size, stop);
}

void PhysicalReceiver::verify_files() const {
  const BackupManifest manifest = parse_backup_manifest(manifest_.view());
  size_t listed = 0;
  for (const ManifestFile& file : manifest.files) {
    const auto found = received_.find(file.path);
    if (found == received_.end()) {
      bad("the file " + printable(file.path) + " is missing");
    }
    uint32_t crc = found->second.crc;
    const bool right = found->second.size == file.size &&
                       (file.algorithm != "CRC32C" ||
                        file.checksum == std::string_view(reinterpret_cast<const char*>(&crc), 4));
    if (!right) {
      bad("the file " + printable(file.path) + " is not as the manifest says");
    }
    listed += in_pg_wal(file.path) ? 0 : 1;  // of WAL it lists some files that only mark others
  }
  const auto unlisted = std::count_if(received_.begin(), received_.end(),
                                      [](const auto& file) { return !in_pg_wal(file.first); });
  if (static_cast<size_t>(unlisted) != listed) {
    bad("the manifest lists " + std::to_string(listed) + " files, " + std::to_string(unlisted) +
        " came");
  }
}

void PhysicalReceiver::verify_wal(uint64_t system_identifier, SegmentSize segment_size,
                                  const BaseBackupStop& stop) const {
  const SegmentNumber last = segment_before(stop.lsn, segment_size);
  for (SegmentNumber segment = segment_of(start_.lsn, segment_size); segment <= last;
       ++segment.value) {
    // A standby may have followed its primary to a newer timeline meanwhile.
    const WalSegmentHeader* good = nullptr;
    std::optional<WalSegmentHeader> header;
    for (uint32_t timeline = stop.timeline.value; timeline >= start_.timeline.value; --timeline) {
      const auto found = wal_heads_.find(segment_name({timeline}, segment, segment_size));
      if (found == wal_heads_.end()) {
        continue;
      }
      header = parse_wal_segment(found->second.view());
      good = &*header;
      break;
    }
    if (good == nullptr || good->address != start_of(segment, segment_size) ||
        good->system_identifier != system_identifier) {
      bad("the WAL segment " + segment_name(stop.timeline, segment, segment_size) +
          " is missing or not the right one");
    }
  }
}

}  // namespace salvor::postgres
