#include "protect/job_lock.h"

#include <cctype>
#include <filesystem>

#include <fcntl.h>
#include <sys/file.h>

#include "base/error.h"

namespace salvor {

std::optional<JobLock> JobLock::take(const std::string& state_directory, const std::string& name) {
  std::string file = name;
  for (char& c : file) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
    c = plain ? c : '_';
  }
  const std::string folder = state_directory + "/locks";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  // Never removed: a file that is removed and made again is two locks.
  const std::string path = folder + "/" + file;
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) {
    throw Error::from_errno(errno, "cannot open the lock file " + path);
  }
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return std::nullopt;
    }
    throw Error::from_errno(errno, "cannot lock " + path);
  }
  return JobLock(std::move(lock));
}

}  // namespace salvor
