#include "evidence/audit_spool.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "evidence/audit_record.h"
#include "evidence/json.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHead = "head";
constexpr size_t kHeadLimit = 4096;
constexpr size_t kDigits = 10;

std::optional<uint64_t> sequence_of(const std::string& name) {
  uint64_t sequence = 0;
  const char* end = name.data() + name.size();
  const auto [at, error] = std::from_chars(name.data(), end, sequence);
  if (name.size() != kDigits || error != std::errc() || at != end || sequence == 0) {
    return {};
  }
  return sequence;
}

}  // namespace

std::string AuditSpool::directory_of(const std::string& state_directory,
                                     const std::string& repository_id, const std::string& writer) {
  return state_directory + "/audit/" + repository_id + "/" + writer;
}

AuditSpool::AuditSpool(const std::string& directory) : directory_(directory) {
  std::error_code error;
  fs::create_directories(directory, error);
  if (error) {
    throw Error::from_errno(error.value(), "cannot make the directory " + directory);
  }
  ::chmod(directory.c_str(), S_IRWXU);
  folder_ = UniqueFd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  lock_ =
      UniqueFd(::openat(folder_.get(), "lock", O_RDWR | O_CREAT | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!folder_ || !lock_) {
    throw Error::from_errno(errno, "cannot use the directory " + directory);
  }
  while (::flock(lock_.get(), LOCK_EX) != 0) {
    if (errno != EINTR) {
      throw Error::from_errno(errno, "cannot lock " + directory + "/lock");
    }
  }
}

std::optional<AuditHead> AuditSpool::head() const {
  try {
    const Buffer content = read_file(directory_ + "/" + kHead, kHeadLimit);
    const Json json = Json::parse(as_text(content.view()), kHeadLimit);
    AuditHead head{.sequence = json.number_or("sequence", 0), .hash = json.text_or("sha256", "")};
    return head.hash.empty() != (head.sequence == 0) ? std::nullopt : std::optional(head);
  } catch (const Error&) {
    return {};  // the repository knows
  }
}

void AuditSpool::set_head(const AuditHead& head) {
  write(kHead,
        Json(Json::Object{{"sequence", Json::bytes(head.sequence)}, {"sha256", head.hash}}).text());
}

std::vector<SpooledRecord> AuditSpool::records() const {
  std::vector<SpooledRecord> records;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory_)) {
    const std::string name = entry.path().filename();
    if (const auto sequence = sequence_of(name)) {
      const Buffer content = read_file(entry.path(), kAuditRecordLimit);
      records.push_back({*sequence, std::string(as_text(content.view()))});
    }
  }
  std::sort(records.begin(), records.end(),
            [](const SpooledRecord& a, const SpooledRecord& b) { return a.sequence < b.sequence; });
  return records;
}

void AuditSpool::add(const SpooledRecord& record) {
  size_t count = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory_)) {
    count += sequence_of(entry.path().filename()) ? 1 : 0;
  }
  if (count >= kMostRecords) {
    throw Error(ErrorCode::kStorageFull,
                fmt::format("{} audit records wait in {} already", count, directory_),
                "They are delivered as soon as the repository can be written again.");
  }
  replace(record);
}

void AuditSpool::replace(const SpooledRecord& record) {
  write(fmt::format("{:010}", record.sequence), record.text);
}

void AuditSpool::remove(uint64_t sequence) {
  ::unlinkat(folder_.get(), fmt::format("{:010}", sequence).c_str(), 0);
}

void AuditSpool::write(const std::string& name, std::string_view content) {
  const std::string temporary = name + ".new";
  const std::string path = directory_ + "/" + name;
  const UniqueFd file(::openat(folder_.get(), temporary.c_str(),
                               O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, S_IRUSR | S_IWUSR));
  if (!file) {
    throw Error::from_errno(errno, "cannot write " + path);
  }
  write_full(file.get(), as_bytes(content), path);
  if (::fsync(file.get()) != 0 ||
      ::renameat(folder_.get(), temporary.c_str(), folder_.get(), name.c_str()) != 0 ||
      ::fsync(folder_.get()) != 0) {
    throw Error::from_errno(errno, "cannot write " + path);
  }
}

}  // namespace salvor
