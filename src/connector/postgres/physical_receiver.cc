#include "connector/postgres/physical_receiver.h"

#include <algorithm>

#include "base/format.h"
#include "connector/postgres/backup_label.h"
#include "connector/postgres/backup_manifest.h"
#include "connector/postgres/cut_file.h"
#include "connector/postgres/page_parts.h"
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

// An incremental file, as the whole file that it stands for.
class RebuiltFileOpener final : public FileOpener {
 public:
  RebuiltFileOpener(const Context& context, std::shared_ptr<FileOpener> file,
                    const EarlierFiles& files, EarlierFile base, RebuildOptions options)
      : context_(context),
        file_(std::move(file)),
        files_(files),
        base_(base),
        options_(std::move(options)) {}
  std::unique_ptr<ByteReader> open(const Node& node) override { return file_->open(node); }
  [[nodiscard]] bool in_parts() const override { return true; }
  std::unique_ptr<PartReader> open_parts(const Node& node) override {
    return std::make_unique<RebuiltParts>(context_, file_->open(node), files_, base_, options_);
  }
  [[nodiscard]] std::string path_of(const Node& node) const override {
    return file_->path_of(node);
  }

 private:
  const Context context_;
  const std::shared_ptr<FileOpener> file_;
  const EarlierFiles& files_;
  const EarlierFile base_;
  const RebuildOptions options_;
};

}  // namespace

PhysicalReceiver::PhysicalReceiver(const Context& context, TreeSink& sink, ReceiverOptions options)
    : context_(context), sink_(sink), options_(std::move(options)) {
  directories_[""] = sink.root();
}

PhysicalReceiver::~PhysicalReceiver() = default;

void PhysicalReceiver::started(const BaseBackupStart& start) {
  start_ = start;
  options_.estimated_bytes = start.estimated_bytes;
  cell_ = cell_bytes_for(start.estimated_bytes);
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
  whole_path_ = whole_path(path).value_or(path);
  const size_t slash = whole_path_.rfind('/');
  node_ = make_node(whole_path_.substr(slash == std::string::npos ? 0 : slash + 1), entry,
                    NodeType::kFile);
  node_.size = entry.size;
  node_.links = 1;
  size_ = entry.size;
  crc_ = Crc32c();
  block_ = 0;
  partial_page_.clear();
  relation_ = parse_relation_path(whole_path_);
  base_ = nullptr;
  if (whole_path_ != path_) {
    const bool offered = options_.plan != nullptr && options_.plan->files.contains(whole_path_);
    if (!offered) {
      bad("the file " + printable(path) + " is based on nothing that the server was told of");
    }
    base_ = &options_.plan->files.at(whole_path_);
    options_.results->expect(whole_path_);
  }
  keep_content_ = in_pg_wal(path_);
  if (size_ < kSmallFile) {
    lease_ = options_.budget.acquire(size_, context_.stop);
    small_ = Buffer();
    small_.reserve(size_);
    large_.reset();
  } else {
    large_ = std::make_shared<StreamedFile>("/" + path_, pieces_);
    sink_.add_file(parent_, node_, in_parts(large_));
  }
}

// How the engine gets the current file, which `file` reads as it arrived.
std::shared_ptr<FileOpener> PhysicalReceiver::in_parts(std::shared_ptr<FileOpener> file) const {
  if (base_ != nullptr) {
    return rebuilt(std::move(file));
  }
  return cut_relation(std::move(file), path_, size_, cell_, options_.earlier);
}

std::shared_ptr<FileOpener> PhysicalReceiver::rebuilt(std::shared_ptr<FileOpener> file) const {
  RebuildOptions options{.cell = cell_, .on_page = {}, .on_end = {}};
  const std::string path = whole_path_;
  const std::shared_ptr<BackupResults> results = options_.results;
  if (options_.check_pages && relation_) {
    options.on_page = [results, path, start = start_.lsn](uint32_t number, ByteView page) {
      const RelationFile relation = *parse_relation_path(path);
      const uint32_t block = relation.first_block() + number;
      if (judge_page(page, block, start) == PageVerdict::kDamaged) {
        results->add_damage(path, relation, block);
      }
    };
  }
  options.on_end = [results, path](const RebuiltFile& done) { results->set(path, done); };
  return std::make_shared<RebuiltFileOpener>(context_, std::move(file), *options_.earlier->files,
                                             *base_, std::move(options));
}

void PhysicalReceiver::content(ByteView bytes) {
  crc_.update(bytes);
  if (relation_ && options_.check_pages && base_ == nullptr) {
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
  if (path_ == "backup_label" && options_.plan != nullptr) {
    end_label();
  }
  if (base_ != nullptr && is_unchanged()) {
    options_.results->set(whole_path_, {.size = base_->node->size, .crc = base_->crc});
    node_.size = base_->node->size;
    node_.content = base_->node->content;
    sink_.add_stored(parent_, node_);
    return;
  }
  sink_.add_file(
      parent_, node_,
      in_parts(std::make_shared<BufferedFile>("/" + path_, std::move(small_), std::move(lease_))));
}

// Whether the incremental file that has come says that nothing has changed.
bool PhysicalReceiver::is_unchanged() const {
  const IncrementalHeader header = read_incremental_header(*read_memory(small_.view()));
  return header.blocks.empty() && uint64_t{header.truncation} * kPageBytes == base_->node->size;
}

// An incremental backup's label makes a server refuse to start; a rebuilt one's must not.
void PhysicalReceiver::end_label() {
  const BackupLabel label = parse_backup_label(as_text(small_.view()));
  const BackupFacts& earlier = options_.earlier->facts;
  if (!label.incremental_from || *label.incremental_from != earlier.start ||
      label.incremental_timeline != earlier.timeline) {
    bad("it is based on another backup than " + options_.earlier->name);
  }
  const std::string text = without_incremental_lines(as_text(small_.view()));
  small_ = Buffer::copy_of(as_bytes(text));
  node_.size = small_.size();
  options_.results->expect(path_);
  options_.results->set(path_, {.size = small_.size(), .crc = crc32c(small_.view())});
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
  options_.results->add_damage(path_, *relation_, block);
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
  std::shared_ptr<FileOpener> manifest;
  if (options_.plan != nullptr) {
    manifest = std::make_shared<RewrittenManifest>(
        options_.results, Buffer::copy_of(manifest_.view()), context_.stop);
  } else {
    manifest = std::make_shared<BufferedFile>("/backup_manifest", Buffer::copy_of(manifest_.view()),
                                              MemoryBudget::Lease());
  }
  sink_.add_file(directories_.at(""), node, manifest);
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
