#include "engine/postgres/wal_spool.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include <fcntl.h>
#include <sys/file.h>

#include "connector/postgres/wal_segment.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kPart = ".part";
constexpr const char* kSpare = "spare";
constexpr const char* kLock = "lock";
constexpr uint64_t kHistoryLimit = uint64_t{1} << 24;
constexpr uint64_t kPage = postgres::kWalPageBytes;
// What comes in small messages is written together.
constexpr size_t kGatherBytes = size_t{128} << 10;

void sync_file(int fd, const std::string& what) {
  if (::fdatasync(fd) != 0) {
    throw Error::from_errno(errno, "cannot make " + what + " durable");
  }
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  if (error) {
    throw Error::from_errno(error.value(), "cannot list " + folder);
  }
  return names;
}

bool is_history(const std::string& name) {
  return name.ends_with(".history");
}

// How much of the unfinished `segment` is in `file`: all pages that are of their place, the last
// one up to where only zeros follow.
uint64_t length_by_pages(int file, const std::string& segment, postgres::SegmentSize size) {
  const auto name = postgres::parse_wal_file_name(segment, size);
  if (!name) {
    return 0;
  }
  const postgres::Lsn start = postgres::start_of(name->segment, size);
  uint64_t end = 0;
  std::array<std::byte, postgres::kWalPageHeaderBytes> header{};
  while (end < size.bytes && pread_full(file, header, end, segment) == header.size() &&
         postgres::is_wal_page(header, name->timeline, {start.value + end})) {
    end += kPage;
  }
  if (end == 0) {
    return 0;
  }
  Buffer page(kPage);
  size_t have = pread_full(file, page.bytes(), end - kPage, segment);
  while (have > 0 && page.view()[have - 1] == std::byte{0}) {
    --have;
  }
  return end - kPage + have;
}

}  // namespace

const char* const kOtherHistoryHint =
    "It was set back to an earlier state (a snapshot of its disk or machine, a copy of its files) "
    "and goes on under the same timeline: recovery would mix two histories. Give it a timeline of "
    "its own (create standby.signal in its data directory, start it, SELECT pg_promote()), start "
    "the stream again and make a new backup.";

WalSpool::WalSpool(std::string folder, postgres::SegmentSize size, uint64_t limit_bytes)
    : folder_(std::move(folder)), size_(size), limit_bytes_(limit_bytes) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) {
    throw Error::from_errno(error.value(), "cannot make the spool " + folder_);
  }
  fs::permissions(folder_, fs::perms::owner_all, error);
  lock_ = UniqueFd(::open(path(kLock).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_) {
    throw Error::from_errno(errno, "cannot open " + path(kLock));
  }
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    throw Error(ErrorCode::kLocked, "the spool " + folder_ + " is in use",
                "Another salvor streams the WAL of this cluster, or stores what was left there.");
  }
  const std::scoped_lock lock(mutex_);
  count();
  take_in_part();
}

postgres::SegmentSize WalSpool::segment_size(const std::string& folder) {
  for (const std::string& name : names_in(folder)) {
    // With the smallest size every segment's name is understood.
    if (!postgres::parse_wal_file_name(name.substr(0, name.find(kPart)), {1U << 20})) {
      continue;
    }
    const std::string path = (fs::path(folder) / name).string();
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    Buffer header(postgres::kWalHeaderBytes);
    if (!file || pread_full(file.get(), header.bytes(), 0, path) != header.size()) {
      continue;  // one that was just begun
    }
    try {
      return postgres::parse_wal_segment(header.view()).segment_size;
    } catch (const Error&) {
      continue;  // a history, or what a crash left
    }
  }
  return {};
}

std::string WalSpool::part_path(const std::string& segment) const {
  return path(segment) + std::string(kPart);
}

void WalSpool::count() {
  const std::vector<std::string> names = whole();
  waiting_ = names.size();
  segments_ = static_cast<size_t>(std::count_if(
      names.begin(), names.end(), [](const auto& name) { return !is_history(name); }));
}

void WalSpool::take_in_part() {
  std::string newest;
  for (std::string& name : names_in(folder_)) {
    if (!name.ends_with(kPart)) {
      continue;
    }
    name.resize(name.size() - kPart.size());
    const auto parsed = postgres::parse_wal_file_name(name, size_);
    if (parsed && parsed->kind == postgres::WalFileKind::kSegment && name > newest) {
      newest = std::move(name);
    }
  }
  if (newest.empty()) {
    return;
  }
  const UniqueFd file(::open(part_path(newest).c_str(), O_RDWR | O_CLOEXEC));
  if (!file) {
    throw Error::from_errno(errno, "cannot read " + part_path(newest));
  }
  durable_bytes_ = length_by_pages(file.get(), newest, size_);
  if (durable_bytes_ > 0) {
    sync_file(file.get(), newest);
    durable_segment_ = std::move(newest);
    estimated_bytes_ = durable_bytes_;
  }
}

void WalSpool::begin(postgres::Timeline timeline, postgres::Lsn start) {
  begun_ = true;
  timeline_ = timeline;
  written_ = start;
  gathered_.clear();
  received_ = start.value;
  file_.reset();
  segment_.clear();
  // The stream may have broken because the disk is full.
  static_cast<void>(::unlink(path(kSpare).c_str()));
  const std::scoped_lock lock(mutex_);
  count();
  // What is durable of this very segment stays so while it is received again.
  if (durable_segment_ !=
      postgres::segment_name(timeline, postgres::segment_of(start, size_), size_)) {
    forget_durable();
  }
}

void WalSpool::forget_durable() {
  durable_segment_.clear();
  durable_bytes_ = 0;
  estimated_bytes_ = 0;
}

std::optional<WalPlace> WalSpool::resume() const {
  if (!begun_) {
    return std::nullopt;
  }
  return WalPlace{timeline_, postgres::start_of(postgres::segment_of(written_, size_), size_)};
}

std::optional<WalPlace> WalSpool::reached() const {
  const std::scoped_lock lock(mutex_);
  const auto name = postgres::parse_wal_file_name(durable_segment_, size_);
  if (!name) {
    return std::nullopt;
  }
  const bool known = durable_bytes_ > estimated_bytes_;
  const uint64_t bytes = known ? durable_bytes_ : (durable_bytes_ - 1) / kPage * kPage;
  return WalPlace{name->timeline, {postgres::start_of(name->segment, size_).value + bytes}};
}

void WalSpool::wal(postgres::Lsn at, ByteView bytes) {
  if (at.value != written_.value + gathered_.size()) {
    throw Error(ErrorCode::kFailed, "WAL came out of order");  // stream_wal has checked it
  }
  gathered_.append(bytes);
  received_ = at.value + bytes.size();
  const bool segment_is_whole = written_.value % size_.bytes + gathered_.size() >= size_.bytes;
  if (gathered_.size() >= kGatherBytes || segment_is_whole) {
    write_gathered();
  }
}

void WalSpool::write_gathered() {
  try {
    write(gathered_.view());
  } catch (...) {
    gathered_.clear();  // what is not written comes again
    throw;
  }
  gathered_.clear();
}

void WalSpool::write(ByteView bytes) {
  while (!bytes.empty()) {
    const uint64_t offset = written_.value % size_.bytes;
    if (!file_) {
      open_part();
    }
    const size_t part = std::min<uint64_t>(bytes.size(), size_.bytes - offset);
    compare(offset, bytes.first(part));
    clear_behind(offset + part);
    pwrite_full(file_.get(), bytes.first(part), offset, segment_);
    bytes = bytes.subspan(part);
    if (offset + part == size_.bytes) {
      finish_segment();
    }
    written_.value += part;  // last: where a stream begins again after a failure
  }
}

void WalSpool::open_part() {
  segment_ = postgres::segment_name(timeline_, postgres::segment_of(written_, size_), size_);
  const std::string part = part_path(segment_);
  const bool again = ::access(part.c_str(), F_OK) == 0;
  // A new file's blocks and pages cost the system as much again as writing to them.
  reused_ = !again && ::rename(path(kSpare).c_str(), part.c_str()) == 0;
  if (!again && !reused_ && errno != ENOENT) {
    throw Error::from_errno(errno, "cannot rename " + path(kSpare));
  }
  file_ = UniqueFd(::open(part.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file_) {
    throw Error::from_errno(errno, "cannot write " + part);
  }
  if (again) {
    cut_to_durable();
  }
  sync_folder();
}

// What is durable may be all that is left if we are killed now; what lies behind it never counted,
// and would not fit what is received now.
void WalSpool::cut_to_durable() {
  const uint64_t keep =
      durable_segment_ == segment_ ? durable_bytes_ : length_by_pages(file_.get(), segment_, size_);
  if (::ftruncate(file_.get(), static_cast<off_t>(keep)) != 0) {
    throw Error::from_errno(errno, "cannot shorten " + segment_);
  }
}

// A server that was rolled back to an earlier state of its disk writes another history over the
// same places.
void WalSpool::compare(uint64_t offset, ByteView bytes) const {
  const bool known =
      durable_segment_ == segment_ && (estimated_bytes_ == 0 || durable_bytes_ > estimated_bytes_);
  if (!known || offset >= durable_bytes_) {
    return;
  }
  Buffer before(std::min<uint64_t>(bytes.size(), durable_bytes_ - offset));
  if (pread_full(file_.get(), before.bytes(), offset, segment_) != before.size() ||
      std::memcmp(before.data(), bytes.data(), before.size()) != 0) {
    throw Error(ErrorCode::kDamaged, "the server sends " + segment_ + " again with another content",
                kOtherHistoryHint);
  }
}

// Before bytes up to `end` are written: of their page, nothing else may pass for what was received.
void WalSpool::clear_behind(uint64_t end) const {
  static constexpr std::array<std::byte, kPage> kZeros{};
  const size_t rest = (kPage - end % kPage) % kPage;
  if (reused_ && rest > 0) {
    pwrite_full(file_.get(), ByteView(kZeros).first(rest), end, segment_);
  }
}

void WalSpool::finish_segment() {
  sync_file(file_.get(), segment_);
  hand_over(segment_);
}

void WalSpool::hand_over(const std::string& name) {
  file_.reset();
  const std::string from = part_path(segment_);
  const std::string to = path(name);
  {
    const std::scoped_lock lock(mutex_);
    const bool again = ::access(to.c_str(), F_OK) == 0;
    if (::rename(from.c_str(), to.c_str()) != 0) {
      throw Error::from_errno(errno, "cannot rename " + from);
    }
    waiting_ += again ? 0 : 1;
    segments_ += again ? 0 : 1;
    forget_durable();
  }
  segment_.clear();
  sync_folder();
}

postgres::Lsn WalSpool::sync() {
  write_gathered();
  if (file_) {
    const uint64_t offset = written_.value % size_.bytes;
    sync_file(file_.get(), segment_);
    const std::scoped_lock lock(mutex_);
    if (durable_segment_ != segment_) {
      forget_durable();
      durable_segment_ = segment_;
    }
    durable_bytes_ = std::max(durable_bytes_, offset);
  }
  return written_;
}

void WalSpool::keep_history(postgres::Timeline timeline, std::string_view text) {
  const std::string to = path(postgres::history_name(timeline));
  const std::string from = to + std::string(kPart);
  {
    const UniqueFd file(::open(from.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) {
      throw Error::from_errno(errno, "cannot write " + from);
    }
    write_full(file.get(), as_bytes(text), from);
    sync_file(file.get(), from);
  }
  {
    const std::scoped_lock lock(mutex_);
    if (::rename(from.c_str(), to.c_str()) != 0) {
      throw Error::from_errno(errno, "cannot rename " + from);
    }
    count();
  }
  sync_folder();
}

void WalSpool::end_timeline() {
  write_gathered();
  if (!file_) {
    return;
  }
  // PostgreSQL's own .partial files have the full length.
  if (::ftruncate(file_.get(), static_cast<off_t>(written_.value % size_.bytes)) != 0 ||
      ::ftruncate(file_.get(), static_cast<off_t>(size_.bytes)) != 0) {
    throw Error::from_errno(errno, "cannot finish " + segment_);
  }
  sync_file(file_.get(), segment_);
  hand_over(segment_ + ".partial");
}

std::vector<std::string> WalSpool::whole() const {
  std::vector<std::string> names = names_in(folder_);
  std::erase_if(
      names, [&](const std::string& name) { return !postgres::parse_wal_file_name(name, size_); });
  std::sort(names.begin(), names.end());
  return names;
}

void WalSpool::remove(const std::string& name) {
  const std::string file = path(name);
  const std::string spare = path(kSpare);
  const std::scoped_lock lock(mutex_);
  const bool keep = !is_history(name) && ::access(spare.c_str(), F_OK) != 0;
  if ((keep ? ::rename(file.c_str(), spare.c_str()) : ::unlink(file.c_str())) != 0 &&
      errno != ENOENT) {
    throw Error::from_errno(errno, "cannot remove " + file);
  }
  --waiting_;
  segments_ -= is_history(name) ? 0 : 1;
}

void WalSpool::read(const std::string& name, Buffer& content) const {
  const UniqueFd file(::open(path(name).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    throw Error::from_errno(errno, "cannot read " + path(name));
  }
  if (is_history(name)) {
    content = read_file(path(name), kHistoryLimit);
    return;
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

std::optional<WalSpool::Tail> WalSpool::tail(const std::string& known_segment, uint64_t known_bytes,
                                             Buffer memory) const {
  Tail tail;
  uint64_t end = 0;
  uint64_t estimated = 0;
  {
    const std::scoped_lock lock(mutex_);
    tail.segment = durable_segment_;
    end = durable_bytes_;
    estimated = estimated_bytes_;
  }
  const uint64_t known = tail.segment == known_segment ? known_bytes : 0;
  if (tail.segment.empty() || end <= known) {
    return std::nullopt;
  }
  // What was only estimated is replaced by what the server has sent again.
  tail.begin = known > estimated ? known : 0;
  const std::string part = part_path(tail.segment);
  const UniqueFd file(::open(part.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) {
    return std::nullopt;  // finished meanwhile: the whole of it is stored next
  }
  tail.bytes = std::move(memory);
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
