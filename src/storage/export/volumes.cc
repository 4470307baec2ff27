#include "storage/export/volumes.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/format.h"
#include "crypto/sha256.h"
#include "storage/local/descriptor_cache.h"

namespace salvor {
namespace {

constexpr size_t kMostVolumes = 100'000;
constexpr size_t kOpenVolumes = 16;
constexpr uint64_t kSumsLimit = 32 << 20;
constexpr size_t kReadAtOnce = 1 << 20;

std::string directory_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, std::max<size_t>(slash, 1));
}

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

std::string volume_path(const std::string& path, size_t number) {
  std::string digits = std::to_string(number);
  digits.insert(0, digits.size() < 3 ? 3 - digits.size() : 0, '0');
  return path + "." + digits;
}

std::string sums_path(const std::string& path) {
  return path + ".sha256";
}

bool exists(const std::string& path) {
  struct stat info{};
  return ::lstat(path.c_str(), &info) == 0;
}

void sync_directory(const std::string& directory) {
  const UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some file systems cannot; then the names are as durable as they make them.
  if (fd && ::fsync(fd.get()) != 0 && errno != EINVAL && errno != ENOTSUP && errno != EROFS) {
    throw Error::from_errno(errno, "cannot make " + printable(directory) + " durable");
  }
}

void rename_file(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    throw Error::from_errno(errno, "cannot rename " + printable(from) + " to " + printable(to));
  }
}

UniqueFd create_file(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) {
    throw Error::from_errno(errno, "cannot create " + printable(path));
  }
  return fd;
}

void close_durably(UniqueFd fd, const std::string& path) {
  if (::fsync(fd.get()) != 0 && errno != EINVAL) {
    throw Error::from_errno(errno, "cannot make " + printable(path) + " durable");
  }
  if (::close(fd.release()) != 0) {
    throw Error::from_errno(errno, "cannot write " + printable(path));
  }
}

}  // namespace

// ---- writing ----

struct VolumeWriter::State {
  explicit State(VolumeWriterOptions wanted) : options(std::move(wanted)) {}

  [[nodiscard]] std::string name_of(size_t number) const {
    return options.volume_bytes == 0 ? options.path : volume_path(options.path, number);
  }
  void open_next() {
    if (volumes.size() == kMostVolumes) {
      throw Error(ErrorCode::kFailed, "more than " + std::to_string(kMostVolumes) + " volumes",
                  "Choose a greater --volume-size.");
    }
    volumes.push_back({.path = name_of(volumes.size() + 1), .size_bytes = 0, .sha256 = {}});
    file = create_file(partial(volumes.back()));
    hash = Sha256();
  }
  void close_last() {
    if (file) {
      close_durably(std::move(file), partial(volumes.back()));
      volumes.back().sha256 = to_hex(hash.finish());
    }
  }
  static std::string partial(const Volume& volume) { return volume.path + ".partial"; }

  const VolumeWriterOptions options;
  std::vector<Volume> volumes;
  UniqueFd file;
  Sha256 hash;
  bool finished = false;
};

VolumeWriter::VolumeWriter(VolumeWriterOptions options)
    : state_(std::make_unique<State>(std::move(options))) {
  const std::string& path = state_->options.path;
  const std::string name = base_name(path);
  if (name.empty() || name == "." || name == ".." ||
      std::ranges::any_of(name, [](char c) { return c == '\\' || (c >= 0 && c < ' '); })) {
    throw Error(ErrorCode::kUsage, "\"" + printable(path) + "\" is not a name for a file of sums",
                "Give the name of a file, without backslashes and control characters.");
  }
  for (const std::string& taken : {path, volume_path(path, 1), sums_path(path)}) {
    if (!state_->options.overwrite && exists(taken)) {
      throw Error(ErrorCode::kFailed, printable(taken) + " exists already",
                  "Choose another name, or give --overwrite.");
    }
  }
  state_->open_next();
}

VolumeWriter::~VolumeWriter() {
  if (!state_->finished) {
    state_->file.reset();
    for (const Volume& volume : state_->volumes) {
      (void)::unlink(State::partial(volume).c_str());
    }
  }
}

void VolumeWriter::write(ByteView bytes) {
  while (!bytes.empty()) {
    Volume* volume = &state_->volumes.back();
    const uint64_t limit = state_->options.volume_bytes;
    if (limit != 0 && volume->size_bytes == limit) {
      state_->close_last();
      state_->open_next();
      volume = &state_->volumes.back();
    }
    const size_t part =
        limit == 0 ? bytes.size() : std::min<uint64_t>(bytes.size(), limit - volume->size_bytes);
    write_full(state_->file.get(), bytes.first(part), State::partial(*volume));
    state_->hash.update(bytes.first(part));
    volume->size_bytes += part;
    bytes = bytes.subspan(part);
  }
}

std::vector<VolumeWriter::Volume> VolumeWriter::finish() {
  State& state = *state_;
  state.close_last();
  const std::string& path = state.options.path;
  const std::string directory = directory_of(path);
  // The old sums go first and the new ones come last: they never describe other bytes.
  (void)::unlink(sums_path(path).c_str());
  std::string sums;
  for (const Volume& volume : state.volumes) {
    rename_file(State::partial(volume), volume.path);
    sums += volume.sha256 + "  " + base_name(volume.path) + "\n";
  }
  state.finished = true;
  // What a longer export of the same name has left would be taken for its end.
  const bool single = state.options.volume_bytes == 0;
  if (!single) {
    (void)::unlink(path.c_str());
  }
  for (size_t number = single ? 1 : state.volumes.size() + 1;; ++number) {
    if (::unlink(volume_path(path, number).c_str()) != 0) {
      break;
    }
  }
  const std::string temporary = sums_path(path) + ".partial";
  UniqueFd file = create_file(temporary);
  write_full(file.get(), as_bytes(sums), temporary);
  close_durably(std::move(file), temporary);
  rename_file(temporary, sums_path(path));
  sync_directory(directory);
  return state.volumes;
}

// ---- reading ----

struct VolumeReader::State {
  struct Piece {
    std::string path;
    uint64_t begin = 0;
    uint64_t size_bytes = 0;
  };
  std::string name;  // in common
  bool numbered = false;
  std::vector<Piece> pieces;
  std::map<std::string, std::string> sums;  // base name -> hexadecimal digits
  uint64_t size_bytes = 0;
  UniqueFd only;
  mutable DescriptorCache open{kOpenVolumes};

  bool add(const std::string& path) {
    struct stat info{};
    if (::stat(path.c_str(), &info) != 0) {
      if (errno == ENOENT) {
        return false;
      }
      throw Error::from_errno(errno, "cannot look for " + printable(path));
    }
    if (!S_ISREG(info.st_mode)) {
      throw Error(ErrorCode::kFailed, printable(path) + " is not a regular file",
                  "For a stream give \"-\" and pass it on standard input.");
    }
    pieces.push_back({path, size_bytes, static_cast<uint64_t>(info.st_size)});
    size_bytes += static_cast<uint64_t>(info.st_size);
    return true;
  }
  void find_pieces(const std::string& path);
  void read_sums();
  void require_sums() const;
  [[nodiscard]] DescriptorCache::Handle descriptor(const Piece& piece) const;
};

void VolumeReader::State::find_pieces(const std::string& path) {
  const bool first = path.ends_with(".001");
  if (!first && add(path)) {
    name = path;
    return;
  }
  name = first ? path.substr(0, path.size() - 4) : path;
  numbered = true;
  while (pieces.size() < kMostVolumes && add(volume_path(name, pieces.size() + 1))) {
  }
}

// Lines that are not of our making are left alone.
void VolumeReader::State::read_sums() {
  const std::string path = sums_path(name);
  if (!exists(path)) {
    return;
  }
  const Buffer content = read_file(path, kSumsLimit);
  std::string_view text = as_text(content.view());
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.ends_with('\r')) {
      line.remove_suffix(1);
    }
    Digest digest;
    if (line.size() > 66 && (line.substr(64, 2) == "  " || line.substr(64, 2) == " *") &&
        from_hex(line.substr(0, 64), digest)) {
      sums.emplace(base_name(std::string(line.substr(66))), to_hex(digest));
    }
  }
}

DescriptorCache::Handle VolumeReader::State::descriptor(const Piece& piece) const {
  if (auto handle = open.find(piece.path)) {
    return handle;
  }
  UniqueFd fd(::open(piece.path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    throw Error::from_errno(errno, "cannot open " + printable(piece.path));
  }
  return open.insert(piece.path, std::move(fd));
}

VolumeReader::VolumeReader(const std::string& path) : state_(std::make_unique<State>()) {
  State& state = *state_;
  state.find_pieces(path);
  state.read_sums();
  for (const auto& [file, sum] : state.sums) {
    const std::string expected = directory_of(state.name) + "/" + file;
    const bool there = std::ranges::any_of(
        state.pieces, [&](const State::Piece& piece) { return base_name(piece.path) == file; });
    if (!there && file.starts_with(base_name(state.name))) {
      throw Error(ErrorCode::kNotFound, "the volume " + printable(expected) + " is missing",
                  "Bring all volumes into one directory; " + printable(sums_path(state.name)) +
                      " lists them.");
    }
  }
  if (state.pieces.empty()) {
    throw Error(ErrorCode::kNotFound,
                "there is neither a file " + printable(state.name) + " nor a volume " +
                    printable(volume_path(state.name, 1)),
                "Check the name; of several volumes give the first.");
  }
}

VolumeReader::VolumeReader(UniqueFd file, std::string display_name)
    : state_(std::make_unique<State>()) {
  struct stat info{};
  if (::fstat(file.get(), &info) != 0) {
    throw Error::from_errno(errno, "cannot read " + display_name);
  }
  state_->name = std::move(display_name);
  state_->only = std::move(file);
  state_->size_bytes = static_cast<uint64_t>(info.st_size);
}

VolumeReader::~VolumeReader() = default;

uint64_t VolumeReader::size_bytes() const {
  return state_->size_bytes;
}

void VolumeReader::read(uint64_t offset, MutableBytes out) const {
  const State& state = *state_;
  if (offset > state.size_bytes || out.size() > state.size_bytes - offset) {
    throw Error(ErrorCode::kDamaged, printable(state.name) + " ends too early", next_volume());
  }
  const auto read_from = [](int fd, MutableBytes bytes, uint64_t at, const std::string& name) {
    if (pread_full(fd, bytes, at, name) != bytes.size()) {
      throw Error(ErrorCode::kDamaged, printable(name) + " has become shorter");
    }
  };
  if (state.only) {
    read_from(state.only.get(), out, offset, state.name);
    return;
  }
  auto piece = std::ranges::upper_bound(state.pieces, offset, {}, &State::Piece::begin);
  while (!out.empty()) {
    const State::Piece& current = *std::prev(piece++);
    const uint64_t inside = offset - current.begin;
    const size_t part = std::min<uint64_t>(out.size(), current.size_bytes - inside);
    if (part > 0) {
      read_from(state.descriptor(current)->get(), out.first(part), inside, current.path);
    }
    out = out.subspan(part);
    offset += part;
  }
}

bool VolumeReader::has_sums() const {
  return !state_->sums.empty();
}

// What nothing was said of has not been verified: a volume of another export, or one that was
// renamed.
void VolumeReader::State::require_sums() const {
  std::string unknown;
  for (const Piece& piece : pieces) {
    if (!sums.contains(base_name(piece.path))) {
      unknown += (unknown.empty() ? "" : ", ") + printable(piece.path);
    }
  }
  if (!unknown.empty()) {
    throw Error(ErrorCode::kFailed, printable(sums_path(name)) + " says nothing of " + unknown,
                "Give the volumes the names that are in it, and take away those that do not belong "
                "to them. Without a file of sums every object is still checked by itself.");
  }
}

void VolumeReader::verify(const Context& context) const {
  state_->require_sums();
  std::string damaged;
  Buffer buffer(kReadAtOnce);
  for (const State::Piece& piece : state_->pieces) {
    const auto sum = state_->sums.find(base_name(piece.path));
    Sha256 hash;
    for (uint64_t at = 0; at < piece.size_bytes;) {
      context.check_stopped();
      const MutableBytes part =
          buffer.bytes().first(std::min<uint64_t>(buffer.size(), piece.size_bytes - at));
      read(piece.begin + at, part);
      hash.update(part);
      at += part.size();
    }
    if (to_hex(hash.finish()) != sum->second) {
      damaged += (damaged.empty() ? "" : ", ") + printable(piece.path);
    }
  }
  if (!damaged.empty()) {
    throw Error(ErrorCode::kDamaged,
                "not what " + printable(sums_path(state_->name)) + " says: " + damaged,
                "Copy it again from where it was exported.");
  }
}

std::string VolumeReader::next_volume() const {
  return state_->numbered
             ? "The volume " + printable(volume_path(state_->name, state_->pieces.size() + 1)) +
                   " is missing, or the last one was cut."
             : "The file was cut: copy it again from where it was exported.";
}

const std::string& VolumeReader::display_name() const {
  return state_->name;
}

}  // namespace salvor
