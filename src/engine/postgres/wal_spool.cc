#include "engine/postgres/wal_spool.h"

#include <algorithm>
#include <filesystem>

#include <fcntl.h>

namespace salvor {
namespace {

namespace fs = std::filesystem;
constexpr const char* kPart = ".part";
constexpr const char* kSpare = "spare";

void sync_file(int fd, const std::string& what) {
  if (::fdatasync(fd) != 0) {
    throw Error::from_errno(errno, "cannot make " + what + " durable");
  }
}

}  // namespace

WalSpool::WalSpool(std::string folder, postgres::SegmentSize size, uint64_t limit_bytes)
    : folder_(std::move(folder)), size_(size), limit_bytes_(limit_bytes) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    throw Error::from_errno(error.value(), "cannot make the spool " + folder_);
  }
  fs::permissions(folder_, fs::perms::owner_all, error);
  waiting_ = whole().size();
}

void WalSpool::begin(postgres::Timeline timeline, postgres::Lsn start) {
  timeline_ = timeline;
  received_ = start;
  file_.reset();
  segment_.clear();
  // The stream may have broken because the disk is full.
  static_cast<void>(::unlink(path(kSpare).c_str()));
  const std::scoped_lock lock(mutex_);
  waiting_ = whole().size();
  durable_segment_.clear();
  durable_bytes_ = 0;
}

void WalSpool::wal(postgres::Lsn at, ByteView bytes) {
  if (at != received_) {
    throw Error(ErrorCode::kFailed, "WAL came out of order");  // stream_wal has checked it
  }
  while (!bytes.empty()) {
    const uint64_t offset = received_.value % size_.bytes;
    if (!file_) {
      segment_ = postgres::segment_name(timeline_, postgres::segment_of(received_, size_), size_);
      const std::string part = path(segment_) + kPart;
      // A new file's blocks and pages cost the system as much again as writing to them.
      if (::access(part.c_str(), F_OK) != 0 && ::rename(path(kSpare).c_str(), part.c_str()) != 0 &&
          errno != ENOENT) {
        throw Error::from_errno(errno, "cannot rename " + path(kSpare));
      }
      // Not cut off: what is there is the same (or a spare's, which nobody reads), and may be all
      // that is left if we are killed now.
      file_ = UniqueFd(::open(part.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
      if (!file_) {
        throw Error::from_errno(errno, "cannot write " + part);
      }
      sync_folder();
    }
    const size_t part = std::min<uint64_t>(bytes.size(), size_.bytes - offset);
    pwrite_full(file_.get(), bytes.first(part), offset, segment_);
    bytes = bytes.subspan(part);
    received_.value += part;
    if (offset + part == size_.bytes) {
      finish_segment();
    }
  }
}

void WalSpool::finish_segment() {
  sync_file(file_.get(), segment_);
  hand_over(segment_);
}

void WalSpool::hand_over(const std::string& name) {
  file_.reset();
  const std::string from = path(segment_) + kPart;
  const std::string to = path(name);
  {
    const std::scoped_lock lock(mutex_);
    const bool again = ::access(to.c_str(), F_OK) == 0;
    if (::rename(from.c_str(), to.c_str()) != 0) {
      throw Error::from_errno(errno, "cannot rename " + from);
    }
    waiting_ += again ? 0 : 1;
    durable_segment_.clear();
    durable_bytes_ = 0;
  }
  segment_.clear();
  sync_folder();
}

postgres::Lsn WalSpool::sync() {
  if (file_) {
    const uint64_t offset = received_.value % size_.bytes;
    sync_file(file_.get(), segment_);
    const std::scoped_lock lock(mutex_);
    durable_segment_ = segment_;
    durable_bytes_ = offset;
  }
  return received_;
}

void WalSpool::end_timeline() {
  if (!file_) {
    return;
  }
  // PostgreSQL's own .partial files have the full length.
  if (::ftruncate(file_.get(), static_cast<off_t>(received_.value % size_.bytes)) != 0 ||
      ::ftruncate(file_.get(), static_cast<off_t>(size_.bytes)) != 0) {
    throw Error::from_errno(errno, "cannot finish " + segment_);
  }
  sync_file(file_.get(), segment_);
  hand_over(segment_ + ".partial");
}

std::vector<std::string> WalSpool::whole() const {
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (postgres::parse_wal_file_name(name, size_)) {
      names.push_back(name);
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

void WalSpool::remove(const std::string& name) {
  const std::string file = path(name);
  const std::string spare = path(kSpare);
  const std::scoped_lock lock(mutex_);
  const bool keep = ::access(spare.c_str(), F_OK) != 0;
  if ((keep ? ::rename(file.c_str(), spare.c_str()) : ::unlink(file.c_str())) != 0 &&
      errno != ENOENT) {
    throw Error::from_errno(errno, "cannot remove " + file);
  }
  --waiting_;
}

void WalSpool::read(const std::string& name, Buffer& content) const {
  const UniqueFd file(::open(path(name).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    throw Error::from_errno(errno, "cannot read " + path(name));
  }
  content.resize(size_.bytes);
  if (read_full(file.get(), content.bytes(), name) != content.size()) {
    throw Error(ErrorCode::kDamaged, path(name) + " is shorter than a segment",
                "Something else has changed the spool; look what.");
  }
}

uint64_t WalSpool::durable_bytes() const {
  const std::scoped_lock lock(mutex_);
  return durable_bytes_;
}

std::optional<WalSpool::Tail> WalSpool::tail(const std::string& known_segment,
                                             uint64_t known_bytes) const {
  Tail tail;
  uint64_t end = 0;
  {
    const std::scoped_lock lock(mutex_);
    tail.segment = durable_segment_;
    end = durable_bytes_;
  }
  tail.begin = tail.segment == known_segment ? known_bytes : 0;
  if (tail.segment.empty() || end <= tail.begin) {
    return std::nullopt;
  }
  const std::string part = path(tail.segment) + kPart;
  const UniqueFd file(::open(part.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    return std::nullopt;  // finished meanwhile: the whole of it is stored next
  }
  tail.bytes.resize(end - tail.begin);
  if (pread_full(file.get(), tail.bytes.bytes(), tail.begin, part) != tail.bytes.size()) {
    return std::nullopt;
  }
  return tail;
}

void WalSpool::sync_folder() const {
  const UniqueFd folder(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) {
    throw Error::from_errno(errno, "cannot make " + folder_ + " durable");
  }
}

}  // namespace salvor
