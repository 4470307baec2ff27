#include "engine/postgres/wal_push.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/task.h"
#include "connector/postgres/control_file.h"
#include "crypto/sha256.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kWalFileLimit = uint64_t{1} << 30;
constexpr size_t kNoteBytes = 4096;

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

// What makes a file the one that was stored; nothing when there is none.
std::optional<std::string> fingerprint(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    return std::nullopt;
  }
  const auto nanoseconds = [](const timespec& time) {
    return std::to_string(time.tv_sec) + "." + std::to_string(time.tv_nsec);
  };
  return std::to_string(status.st_dev) + " " + std::to_string(status.st_ino) + " " +
         std::to_string(status.st_size) + " " + nanoseconds(status.st_mtim) + " " +
         nanoseconds(status.st_ctim) + "\n";
}

// The files behind `path` that the server has marked as ready, the next ones first.
std::vector<std::string> ready_behind(const std::string& path, const WalPushOptions& options) {
  const fs::path folder = fs::path(path).parent_path();
  const std::string name = base_name(path);
  constexpr std::string_view kReady = ".ready";
  std::vector<std::string> names;
  std::error_code ignored;  // without the directory there is nothing to store ahead
  for (const fs::directory_entry& entry :
       fs::directory_iterator(folder / "archive_status", ignored)) {
    std::string marked = entry.path().filename().string();
    if (marked.ends_with(kReady)) {
      marked.resize(marked.size() - kReady.size());
      if (marked > name) {
        names.push_back(std::move(marked));
      }
    }
  }
  std::sort(names.begin(), names.end());
  std::vector<std::string> paths;
  uint64_t bytes = 0;
  for (const std::string& behind : names) {
    const std::string full = (folder / behind).string();
    const uintmax_t size = fs::file_size(full, ignored);
    if (ignored || paths.size() == options.batch_files || bytes + size > options.batch_bytes) {
      break;
    }
    bytes += size;
    paths.push_back(full);
  }
  return paths;
}

constexpr size_t kTogether = 2;  // files that one thread has in memory and hashes side by side

// What one thread works in, from file to file.
struct Bench {
  std::array<Buffer, kTogether> contents;
  JournalScratch scratch;
};

void read_into(const std::string& path, Buffer& content) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0) {
    throw Error::from_errno(errno, "cannot open " + path);
  }
  if (static_cast<uint64_t>(status.st_size) > kWalFileLimit) {
    throw Error(ErrorCode::kFailed, path + " is larger than any WAL file");
  }
  content.resize(static_cast<size_t>(status.st_size));
  content.resize(read_full(file.get(), content.bytes(), path));
}

// The file that was asked for, and others behind it.
class Batch {
 public:
  Batch(const Context& context, const WalArchive& archive, std::vector<std::string> paths,
        const PushNotes* notes)
      : context_(context), archive_(archive), paths_(std::move(paths)), notes_(notes) {}

  WalPushResult run(unsigned threads) {
    ThreadPool pool("salvor-wal", threads);
    TaskGroup group(pool, context_.stop);
    const size_t step = paths_.size() >= kTogether * threads ? kTogether : 1;
    for (size_t begin = 0; begin < paths_.size(); begin += step) {
      const size_t end = std::min(begin + step, paths_.size());
      group.run([this, begin, end] { store(begin, end); });
    }
    group.wait();
    return {stored_, existed_, failed_};
  }

 private:
  struct File {
    size_t number;
    std::optional<std::string> before;  // its fingerprint when it was read
  };

  void store(size_t begin, size_t end) {
    std::unique_ptr<Bench> bench = take_bench();
    std::vector<File> files;
    std::vector<ByteView> contents;
    for (size_t i = begin; i < end; ++i) {
      try {
        Buffer& content = bench->contents[files.size()];
        File file{.number = i, .before = fingerprint(paths_[i])};
        read_into(paths_[i], content);
        contents.push_back(content.view());
        files.push_back(std::move(file));
      } catch (const Error& error) {
        give_up(i, error);
      }
    }
    std::vector<Digest> hashes(contents.size());
    sha256_many(contents, hashes);
    for (size_t i = 0; i < files.size(); ++i) {
      try {
        store(files[i], contents[i], hashes[i], bench->scratch);
      } catch (const Error& error) {
        give_up(files[i].number, error);
      }
    }
    const std::scoped_lock lock(mutex_);
    benches_.push_back(std::move(bench));
  }

  void store(const File& file, ByteView content, const Digest& hash, JournalScratch& scratch) {
    const std::string& path = paths_[file.number];
    const JournalPut put = archive_.push(context_, base_name(path), content, hash, scratch);
    ++(put == JournalPut::kStored ? stored_ : existed_);
    if (file.number > 0 && file.before && file.before == fingerprint(path)) {
      const std::scoped_lock lock(mutex_);
      notes_->add(path);
    }
  }

  // Called where an error was caught. Of the other files the server will ask, and be told.
  void give_up(size_t number, const Error& error) {
    if (number == 0 || error.code() == ErrorCode::kCancelled) {
      throw;
    }
    ++failed_;
  }

  std::unique_ptr<Bench> take_bench() {
    const std::scoped_lock lock(mutex_);
    if (benches_.empty()) {
      return std::make_unique<Bench>();
    }
    std::unique_ptr<Bench> bench = std::move(benches_.back());
    benches_.pop_back();
    return bench;
  }

  const Context& context_;
  const WalArchive& archive_;
  const std::vector<std::string> paths_;
  const PushNotes* const notes_;
  std::atomic<size_t> stored_ = 0;
  std::atomic<size_t> existed_ = 0;
  std::atomic<size_t> failed_ = 0;
  std::mutex mutex_;  // guards the notes and the benches
  std::vector<std::unique_ptr<Bench>> benches_;
};

}  // namespace

PushNotes::PushNotes(std::string directory, const std::string& archive)
    : directory_(std::move(directory)),
      archive_(to_hex(ByteView(sha256(as_bytes(archive))).first(8))) {}

std::string PushNotes::note_path(const std::string& path) const {
  return directory_ + "/" + archive_ + "-" + base_name(path) + ".stored";
}

bool PushNotes::take(const std::string& path, WallTime now) const {
  const std::string note = note_path(path);
  struct stat status{};
  if (::stat(note.c_str(), &status) != 0) {
    return false;
  }
  const WallTime written(std::chrono::seconds(status.st_mtim.tv_sec));
  bool good = false;
  try {
    good = now - written < kPushNoteAge && now - written > -kPushNoteAge &&
           fingerprint(path) == std::string(as_text(read_file(note, kNoteBytes).view()));
  } catch (const Error&) {
    good = false;  // a note that cannot be read is none
  }
  ::unlink(note.c_str());
  return good;
}

void PushNotes::add(const std::string& path) const {
  const auto print = fingerprint(path);
  if (!print) {
    return;
  }
  std::error_code error;
  fs::create_directories(directory_, error);
  if (error) {
    throw Error::from_errno(error.value(), "cannot make " + directory_);
  }
  const std::string note = note_path(path);
  const UniqueFd file(::open(note.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) {
    throw Error::from_errno(errno, "cannot write " + note);
  }
  write_full(file.get(), as_bytes(*print), note);
}

WalPushResult push_wal(const Context& context, const WalArchive& archive,
                       const WalPushOptions& options, const PushNotes* notes) {
  std::vector<std::string> paths{options.path};
  if (notes != nullptr) {
    for (std::string& path : ready_behind(options.path, options)) {
      paths.push_back(std::move(path));
    }
  }
  return Batch(context, archive, std::move(paths), notes).run(options.threads);
}

WalOwner wal_owner(const std::string& path, const std::string& data_directory) {
  const fs::path folder =
      path.find('/') == std::string::npos ? fs::path(".") : fs::path(path).parent_path();
  const fs::path data = data_directory.empty() ? folder / ".." : fs::path(data_directory);
  const std::string control = (data / "global/pg_control").lexically_normal().string();
  constexpr int kTries = 5;  // it may be caught while the server writes it
  for (int attempt = 1;; ++attempt) {
    try {
      const postgres::ControlFile file =
          postgres::parse_control_file(read_file(control, 1U << 20).view());
      return {file.system_identifier, file.segment_size};
    } catch (Error& error) {
      if (error.code() == ErrorCode::kDamaged && attempt < kTries) {
        continue;
      }
      throw Error(ErrorCode::kFailed, "cannot tell whose WAL " + path + " is: " + error.message(),
                  "Run it as archive_command or restore_command, with %p; or name the cluster's "
                  "data directory "
                  "with --pgdata.");
    }
  }
}

}  // namespace salvor
