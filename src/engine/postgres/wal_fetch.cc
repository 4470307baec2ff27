#include "engine/postgres/wal_fetch.h"

#include <filesystem>

#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/task.h"
#include "connector/postgres/wal_segment.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;

// Beside the files of pg_wal, in which the server ignores what has no WAL file's name: on the same
// file system, and gone with the cluster it belongs to.
constexpr const char* kFolder = "salvor-prefetch";

fs::path folder_of(const std::string& destination) {
  return fs::path(destination).parent_path() / kFolder;
}

// Complete or not there: the server must never see a part.
void write_whole(const fs::path& path, ByteView content) {
  const std::string temporary = path.string() + ".salvor-part";
  {
    const UniqueFd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!file) {
      throw Error::from_errno(errno, "cannot write " + temporary);
    }
    write_full(file.get(), content, temporary);
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) {
    throw Error::from_errno(errno, "cannot write " + path.string());
  }
}

bool is_segment(const std::string& name, postgres::SegmentSize size) {
  const auto parsed = postgres::parse_wal_file_name(name, size);
  return parsed && parsed->kind == postgres::WalFileKind::kSegment;
}

void prefetch(const Context& context, const WalArchive& archive, const WalFetchOptions& options) {
  const auto parsed = postgres::parse_wal_file_name(options.name, archive.segment_size());
  const fs::path folder = folder_of(options.destination);
  std::error_code error;
  fs::create_directory(folder, error);
  if (error) {
    return;  // it goes on without, only slower
  }
  ThreadPool pool("salvor-wal", options.threads);
  TaskGroup group(pool, context.stop);
  try {
    for (unsigned i = 1; i <= options.ahead; ++i) {
      const std::string name = postgres::segment_name(parsed->timeline, {parsed->segment.value + i},
                                                      archive.segment_size());
      group.run([&context, &archive, &folder, name] {
        if (!fs::exists(folder / name)) {
          if (const auto content = archive.fetch(context, name)) {
            write_whole(folder / name, content->view());
          }
        }
      });  // throws, too, once one has failed
    }
    group.wait();
  } catch (const Error& ahead) {
    if (ahead.code() == ErrorCode::kCancelled) {
      throw;  // we are stopped
    }
    // Whoever needs the file will ask for it, and be told.
  }
}

}  // namespace

bool take_prefetched(const WalFetchOptions& options, uint64_t system_identifier,
                     postgres::SegmentSize segment_size) {
  const auto parsed = postgres::parse_wal_file_name(options.name, segment_size);
  if (!parsed || parsed->kind != postgres::WalFileKind::kSegment) {
    return false;
  }
  const std::string path = (folder_of(options.destination) / options.name).string();
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status{};
  if (!file || ::fstat(file.get(), &status) != 0 ||
      status.st_size != static_cast<off_t>(segment_size.bytes)) {
    return false;
  }
  Buffer head(postgres::kWalHeaderBytes);
  try {
    const size_t got = pread_full(file.get(), head.bytes(), 0, path);
    const postgres::WalSegmentHeader header = postgres::parse_wal_segment(head.view(0, got));
    if (header.system_identifier != system_identifier ||
        header.address != postgres::start_of(parsed->segment, segment_size)) {
      return false;
    }
  } catch (const Error&) {
    return false;  // fetched again
  }
  return ::rename(path.c_str(), options.destination.c_str()) == 0;
}

WalFetched fetch_wal(const Context& context, const WalArchive& archive,
                     const WalFetchOptions& options) {
  const fs::path local = fs::path(options.destination).parent_path() / options.name;
  const std::optional<Buffer> content =
      archive.fetch_for_recovery(context, options.name, local.string());
  if (!content) {
    remove_prefetched(options.destination);
    return WalFetched::kAbsent;
  }
  write_whole(options.destination, content->view());
  if (options.ahead > 0 && is_segment(options.name, archive.segment_size())) {
    prefetch(context, archive, options);
  }
  return WalFetched::kRestored;
}

void remove_prefetched(const std::string& destination) {
  std::error_code ignored;  // leftovers are harmless
  fs::remove_all(folder_of(destination), ignored);
}

}  // namespace salvor
