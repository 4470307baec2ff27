#include "engine/restore/restore_window.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "base/profile.h"
#include "crypto/sha256.h"

namespace salvor {
namespace {

// A window's plan takes about a kilobyte a file and 100 bytes a blob; there are two.
constexpr size_t kWindowFiles = 25'000;
constexpr size_t kWindowBlobs = 125'000;
// Windows are not split finer than this: a blob that two of them need is fetched twice.
constexpr uint64_t kWorthStarting = uint64_t{64} << 20;
// Plaintext that is decoded, hashed (several blobs at a time) and written while it is in the cache:
// of small blobs in the processor's own one.
constexpr size_t kBatchBytes = size_t{8} << 20;
constexpr size_t kSmallBatchBytes = size_t{512} << 10;
constexpr size_t kSmallBatchBlobs = 8;  // enough to be hashed side by side
// Content of one request to a local disk: a few of these for each thread.
constexpr uint64_t kContentBytes = uint64_t{16} << 20;
// Of a file that is there already, compared by one thread.
constexpr uint64_t kSectionBytes = uint64_t{32} << 20;

bool is_full_batch(uint64_t bytes, size_t blobs) {
  return bytes >= kBatchBytes || (bytes >= kSmallBatchBytes && blobs >= kSmallBatchBlobs);
}

unsigned thread_count(const RestoreOptions& options, const StorageTraits& traits) {
  if (options.threads > 0) {
    return options.threads;
  }
  const unsigned processors = std::max(1U, std::thread::hardware_concurrency());
  // With remote storage some threads wait for the network while others work.
  return traits.remote ? processors + traits.connections : processors;
}

FetchLimits fetch_limits(const RestoreOptions& options, const StorageTraits& traits,
                         unsigned threads) {
  if (!traits.remote) {
    return {.gap_bytes = uint64_t{64} << 10,
            .request_bytes = uint64_t{4} << 20,
            .content_bytes = kContentBytes};
  }
  const uint64_t share = options.memory_bytes / threads / 2;
  return {.gap_bytes = uint64_t{1} << 20,
          .request_bytes = std::clamp<uint64_t>(share, uint64_t{4} << 20, uint64_t{32} << 20)};
}

}  // namespace

// One thread's part of fetching.
class RestoreWindow::Worker {
 public:
  Worker(RestoreWindow& window, const Context& context, const RestorePlan& plan, FileWriter& writer)
      : window_(window),
        context_(context),
        plan_(plan),
        writer_(writer),
        reader_(window.repository_),
        sealed_(window.buffers_.take()),
        plain_(window.buffers_.take()) {}
  ~Worker() {
    window_.buffers_.give_back(std::move(sealed_));
    window_.buffers_.give_back(std::move(plain_));
  }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void restore(const RestorePlan::Range& range);

 private:
  [[nodiscard]] bool fetch(const RestorePlan::Range& range);
  void restore_batch(const RestorePlan::Range& range, std::span<const RestorePlan::Blob> batch);
  void deliver(const RestorePlan::Blob& blob, ByteView content);
  void recover(const RestorePlan::Blob& blob);

  RestoreWindow& window_;
  const Context& context_;
  const RestorePlan& plan_;
  FileWriter& writer_;
  BlobReader reader_;
  Buffer sealed_;
  Buffer plain_;
  std::vector<ByteView> contents_;
  std::vector<ByteView> decoded_;
  std::vector<Digest> digests_;
};

bool RestoreWindow::Worker::fetch(const RestorePlan::Range& range) {
  const StageTimer timer(context_.profile, Stage::kFetch, range.length);
  sealed_.resize(range.length);
  try {
    window_.repository_.storage().get_range(context_, pack_object(range.pack), range.begin,
                                            sealed_.bytes());
    return true;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDamaged && error.code() != ErrorCode::kNotFound) {
      throw;
    }
    return false;  // other copies, or the undamaged part of the pack, may still do
  }
}

void RestoreWindow::Worker::restore(const RestorePlan::Range& range) {
  const std::span<const RestorePlan::Blob> blobs = plan_.blobs(range);
  // Large blobs are read one by one, with care; the budget is not made for them.
  const bool large = std::any_of(blobs.begin(), blobs.end(),
                                 [](const RestorePlan::Blob& blob) { return is_large(blob.blob); });
  const MemoryBudget::Lease lease =
      window_.budget_.acquire((large ? 0 : range.length) + kBatchBytes, context_.stop);
  if (large || !fetch(range)) {
    for (const RestorePlan::Blob& blob : blobs) {
      recover(blob);
    }
    return;
  }
  size_t begin = 0;
  while (begin < blobs.size()) {
    context_.check_stopped();
    size_t end = begin;
    uint64_t bytes = 0;
    while (end < blobs.size() && !is_full_batch(bytes, end - begin) &&
           (end == begin || bytes + blobs[end].blob.content_length() <= kBatchBytes)) {
      bytes += blobs[end++].blob.content_length();
    }
    restore_batch(range, blobs.subspan(begin, end - begin));
    begin = end;
  }
}

void RestoreWindow::Worker::restore_batch(const RestorePlan::Range& range,
                                          std::span<const RestorePlan::Blob> batch) {
  uint64_t bytes = 0;
  for (const RestorePlan::Blob& blob : batch) {
    bytes += blob.blob.content_length();
  }
  plain_.resize(bytes);
  contents_.assign(batch.size(), {});
  decoded_.clear();
  {
    const StageTimer timer(context_.profile, Stage::kDecode, bytes);
    size_t at = 0;
    for (size_t i = 0; i < batch.size(); ++i) {
      const PackedBlob& blob = batch[i].blob;
      const ByteView sealed = sealed_.view(blob.offset - range.begin, blob.length);
      const MutableBytes content = plain_.bytes().subspan(at, blob.content_length());
      at += content.size();
      if (reader_.decode(blob, sealed, content)) {
        contents_[i] = content;
        decoded_.push_back(content);
      }
    }
  }
  digests_.resize(decoded_.size());
  {
    const StageTimer timer(context_.profile, Stage::kHash, bytes);
    sha256_many(decoded_, digests_);
  }
  size_t hashed = 0;
  for (size_t i = 0; i < batch.size(); ++i) {
    const bool was_decoded = contents_[i].data() != nullptr;
    const bool good = was_decoded && digests_[hashed] == batch[i].blob.handle.id.digest();
    hashed += was_decoded ? 1 : 0;
    if (good) {
      deliver(batch[i], contents_[i]);
    } else {
      recover(batch[i]);
    }
  }
}

void RestoreWindow::Worker::deliver(const RestorePlan::Blob& blob, ByteView content) {
  for (const RestorePlan::Use& use : plan_.uses(blob)) {
    writer_.write(window_.files_[use.file], use.file_offset, content);
  }
}

// Tries every copy of the blob on its own; without a good one the files that need it are damaged.
void RestoreWindow::Worker::recover(const RestorePlan::Blob& blob) {
  Buffer content;
  try {
    content = reader_.load(context_, blob.blob.handle);
    if (content.size() != blob.blob.content_length()) {
      throw Error(ErrorCode::kDamaged,
                  "data blob " + blob.blob.handle.id.short_hex() +
                      " does not have the length that the index says",
                  "Run `salvor repair index --read-all-packs`.");
    }
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDamaged && error.code() != ErrorCode::kNotFound) {
      throw;
    }
    for (const RestorePlan::Use& use : plan_.uses(blob)) {
      writer_.lose(window_.files_[use.file], error);
    }
    return;
  }
  deliver(blob, content.view());
}

RestoreWindow::RestoreWindow(const Context& context, Repository& repository, FilesTarget& target,
                             const RestoreOptions& options, RestoreProgress& progress)
    : context_(context),
      repository_(repository),
      target_(target),
      options_(options),
      progress_(progress),
      budget_(options.memory_bytes),
      buffers_(size_t{2} * thread_count(options, repository.storage().traits())),
      pool_("restore", thread_count(options, repository.storage().traits())) {}

RestoreWindow::~RestoreWindow() = default;

RestoreFile& RestoreWindow::add(Node node, std::shared_ptr<RestoreDirectory> directory) {
  RestoreFile& file = collected_.emplace_back();
  file.node = std::move(node);
  file.directory = std::move(directory);
  collected_blobs_ += file.node.content.size();
  collected_bytes_ += file.node.size;
  return file;
}

bool RestoreWindow::full() const {
  return collected_.size() >= kWindowFiles || collected_blobs_ >= kWindowBlobs;
}

bool RestoreWindow::worth_starting() const {
  return collected_bytes_ >= kWorthStarting;
}

void RestoreWindow::begin() {
  files_ = std::exchange(collected_, {});
  collected_blobs_ = 0;
  collected_bytes_ = 0;
}

void RestoreWindow::report(const RestoreFile& file, const char* operation, const Error& error) {
  ++progress_.errors;
  context_.events.on(ItemFailed{operation, file.location(), error.message(), error.hint()});
}

void RestoreWindow::for_each(size_t count,
                             const std::function<void(size_t item, Buffer& scratch)>& work) {
  std::atomic<size_t> next = 0;
  TaskGroup group(pool_, context_.stop);
  const size_t tasks = std::min<size_t>(pool_.size(), count);
  for (size_t i = 0; i < tasks; ++i) {
    group.run([&] {
      Buffer scratch = buffers_.take();
      for (size_t item = next++; item < count && !group.stop_token().stop_requested();
           item = next++) {
        work(item, scratch);
      }
      buffers_.give_back(std::move(scratch));
    });
  }
  group.wait();
}

// Reads the section's blobs in batches and marks those that have the right content. True when all
// have.
bool RestoreWindow::read_and_compare(Section& section, int fd, Buffer& buffer) {
  const std::vector<BlobId>& content = section.file->node.content;
  section.matches.assign(section.end - section.begin, false);
  bool all = true;
  uint64_t offset = section.offset;
  size_t begin = section.begin;
  while (begin < section.end) {
    context_.check_stopped();
    std::vector<uint32_t> lengths;
    uint64_t bytes = 0;
    while (begin + lengths.size() < section.end && !is_full_batch(bytes, lengths.size())) {
      lengths.push_back(content_length(content[begin + lengths.size()]));
      bytes += lengths.back();
    }
    buffer.resize(bytes);
    const size_t got = pread_full(fd, buffer.bytes(), offset, section.file->node.name);
    std::vector<ByteView> messages;
    size_t at = 0;
    for (const uint32_t length : lengths) {
      if (at + length > got) {
        break;  // the file ends here
      }
      messages.push_back(buffer.view(at, length));
      at += length;
    }
    std::vector<Digest> digests(messages.size());
    sha256_many(messages, digests);
    for (size_t i = 0; i < lengths.size(); ++i) {
      const bool match = i < digests.size() && digests[i] == content[begin + i].digest();
      section.matches[begin + i - section.begin] = match;
      all = all && match;
    }
    begin += lengths.size();
    offset += bytes;
    if (got < bytes) {
      return false;
    }
  }
  return all;
}

// Writing to a file with several names, or changing its metadata, would change the others too: it
// may stay only when nothing has to be done to it.
bool RestoreWindow::must_be_replaced(const RestoreFile& file) {
  const struct stat& stat = *file.existing;
  const Node& node = file.node;
  return stat.st_nlink > 1 &&
         (!file.size_matches || stat.st_uid != node.uid || stat.st_gid != node.gid ||
          (stat.st_mode & 07777) != unix_permissions_from_go(node.mode) ||
          stat.st_mtim.tv_sec != node.mtime.seconds ||
          static_cast<uint32_t>(stat.st_mtim.tv_nsec) != node.mtime.nanoseconds ||
          std::find(file.matches.begin(), file.matches.end(), false) != file.matches.end());
}

void RestoreWindow::compare(Section& section, Buffer& buffer) {
  const RestoreFile& file = *section.file;
  try {
    const SharedFd directory = file.directory->handle->open();
    const auto purpose =
        options_.dry_run ? FilesTarget::Purpose::kLooking : FilesTarget::Purpose::kReading;
    const UniqueFd fd =
        target_.open_existing(directory->get(), file.node.name, purpose, *file.existing);
    if (fd) {  // otherwise not readable or not there any more
      static_cast<void>(read_and_compare(section, fd.get(), buffer));
      section.readable = true;
    }
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
  }
}

// Sections of about kSectionBytes, at least one.
void RestoreWindow::divide(RestoreFile& file, std::deque<Section>& sections) const {
  const std::vector<BlobId>& content = file.node.content;
  sections.push_back({.file = &file});
  uint64_t offset = 0;
  for (size_t i = 0; i < content.size(); ++i) {
    if (offset - sections.back().offset >= kSectionBytes) {
      sections.push_back({.file = &file, .begin = i, .end = i, .offset = offset});
    }
    offset += content_length(content[i]);
    ++sections.back().end;
  }
}

// Large files by all threads. What cannot be read is made afresh.
void RestoreWindow::compare_existing() {
  std::deque<Section> sections;
  for (RestoreFile& file : files_) {
    if (!file.in_place() || file.failed) {
      continue;
    }
    file.size_matches = static_cast<uint64_t>(file.existing->st_size) == file.size;
    if (file.trusted && file.size_matches && file.existing->st_nlink == 1) {
      file.matches.assign(file.node.content.size(), true);
    } else {
      divide(file, sections);
    }
  }
  for_each(sections.size(), [&](size_t i, Buffer& buffer) { compare(sections[i], buffer); });
  for (auto first = sections.begin(); first != sections.end();) {
    RestoreFile& file = *first->file;
    bool readable = true;
    for (; first != sections.end() && first->file == &file; ++first) {
      readable = readable && first->readable;
      file.matches.insert(file.matches.end(), first->matches.begin(), first->matches.end());
    }
    if (!readable || must_be_replaced(file)) {
      file.existing.reset();
      file.matches.clear();
    }
  }
}

// Files without blobs to write go to `unwritten`; those with a blob that nobody knows are reported.
void RestoreWindow::make_plan(RestorePlan& plan, std::vector<RestoreFile*>& unwritten) {
  for (uint32_t i = 0; i < files_.size(); ++i) {
    RestoreFile& file = files_[i];
    if (file.failed) {
      continue;
    }
    plan.add(file, i);
    if (file.remaining == 0) {
      unwritten.push_back(&file);
    }
    for (size_t k = 0; file.in_place() && k < file.matches.size(); ++k) {
      if (file.matches[k]) {
        progress_.bytes_restored += content_length(file.node.content[k]);
      }
    }
  }
}

void RestoreWindow::fetch(const RestorePlan& plan) {
  if (plan.ranges().empty()) {
    return;
  }
  FileWriter writer(context_, target_, options_, progress_);
  const size_t tasks = std::min<size_t>(pool_.size(), plan.ranges().size());
  StretchQueue queue(plan.ranges().size(), tasks);
  TaskGroup group(pool_, context_.stop);
  for (size_t i = 0; i < tasks; ++i) {
    group.run([&, i, inner = context_.with_stop(group.stop_token())] {
      Worker worker(*this, inner, plan, writer);
      while (const std::optional<size_t> at = queue.next(i)) {
        inner.check_stopped();
        worker.restore(plan.ranges()[*at]);
      }
    });
  }
  group.wait();
}

void RestoreWindow::finish_unwritten(const std::vector<RestoreFile*>& files) {
  FileWriter writer(context_, target_, options_, progress_);
  for_each(files.size(), [&](size_t i, Buffer&) { writer.finish_unwritten(*files[i]); });
}

void RestoreWindow::verify(RestoreFile& file, Buffer& buffer) {
  try {
    const SharedFd directory = file.directory->handle->open();
    const std::optional<struct stat> present = FilesTarget::look(directory->get(), file.node.name);
    if (!present || !S_ISREG(present->st_mode)) {
      throw Error(ErrorCode::kFailed, "the restored file is not there any more");
    }
    const UniqueFd fd = target_.open_existing(directory->get(), file.node.name,
                                              FilesTarget::Purpose::kReading, *present);
    if (!fd) {
      throw Error::from_errno(errno, "cannot open it again");
    }
    Section all{.file = &file, .end = file.node.content.size()};
    const bool same = static_cast<uint64_t>(present->st_size) == file.size &&
                      read_and_compare(all, fd.get(), buffer);
    struct stat opened{};
    if (fstat(fd.get(), &opened) == 0 && opened.st_mode != present->st_mode) {
      // Its mode keeps even its owner out; it was changed to read it.
      static_cast<void>(fchmod(fd.get(), present->st_mode & 07777));
    }
    if (!same) {
      throw Error(ErrorCode::kFailed, "the restored file does not have the content of the snapshot",
                  "Something else may be writing to the target, or the disk does not keep what is "
                  "written.");
    }
    ++progress_.files_verified;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    report(file, "verify", error);
  }
}

void RestoreWindow::verify() {
  std::vector<RestoreFile*> restored;
  for (RestoreFile& file : files_) {
    // What was found right by its hash before has been read already.
    const bool read = file.in_place() && !file.opened && !file.trusted;
    if (!file.failed && !read) {
      restored.push_back(&file);
    }
  }
  for_each(restored.size(), [&](size_t i, Buffer& buffer) { verify(*restored[i], buffer); });
}

void RestoreWindow::count_dry_run() {
  for (const RestoreFile& file : files_) {
    if (file.failed) {
      continue;
    }
    ++progress_.files_restored;
    progress_.bytes_restored += file.size;
    if (context_.events.wants_items()) {
      const bool all =
          file.in_place() && file.size_matches &&
          std::find(file.matches.begin(), file.matches.end(), false) == file.matches.end();
      const char* const action = all ? "unchanged" : file.in_place() ? "updated" : "restored";
      context_.events.on(ItemHandled{action, file.location(), "file", file.size, 0});
    }
  }
}

void RestoreWindow::run() {
  for (RestoreFile& file : files_) {
    for (const BlobId& id : file.node.content) {
      const std::optional<uint32_t> length =
          repository_.index().content_length({BlobType::kData, id});
      if (!length) {
        file.failed = true;
        if (file.linked) {
          file.linked->failed = true;
        }
        report(file, "restore",
               Error(ErrorCode::kNotFound, "data blob " + id.short_hex() + " is not in the index",
                     "Run `salvor check`, then `salvor repair index`."));
        break;
      }
      file.size += *length;
    }
    progress_.bytes_total += file.size;
  }
  compare_existing();
  if (options_.dry_run) {
    count_dry_run();
  } else {
    RestorePlan plan(repository_.index());
    std::vector<RestoreFile*> unwritten;
    make_plan(plan, unwritten);
    const StorageTraits traits = repository_.storage().traits();
    plan.finish(fetch_limits(options_, traits, pool_.size()));
    finish_unwritten(unwritten);
    fetch(plan);
    if (options_.verify) {
      verify();
    }
  }
  files_.clear();
}

}  // namespace salvor
