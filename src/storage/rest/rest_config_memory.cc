#include "storage/rest/rest_config_memory.h"

#include <cerrno>
#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/format.h"

namespace salvor {

bool RestConfigMemory::seen() const {
  const std::scoped_lock lock(mutex_);
  return seen_;
}

void RestConfigMemory::set_seen(bool there) {
  const std::scoped_lock lock(mutex_);
  seen_ = there;
}

void RestConfigMemory::keep_old(ByteView config) {
  forget_old();
  const std::scoped_lock lock(mutex_);
  std::string name = folder_ + "/salvor-config-XXXXXX";
  const std::string what = "cannot keep the old config in " + printable(folder_);
  UniqueFd file(::mkostemp(name.data(), O_CLOEXEC));
  if (!file) {
    throw Error::from_errno(errno, what);
  }
  old_file_ = std::move(name);
  write_full(file.get(), config, what);
  if (::fsync(file.get()) != 0 && errno != EINVAL) {
    throw Error::from_errno(errno, what);
  }
  file.close(what);
  old_ = std::string(as_text(config));
}

std::optional<std::string> RestConfigMemory::old() const {
  const std::scoped_lock lock(mutex_);
  return old_;
}

std::string RestConfigMemory::old_file() const {
  const std::scoped_lock lock(mutex_);
  return old_file_;
}

void RestConfigMemory::forget_old() {
  const std::scoped_lock lock(mutex_);
  if (!old_file_.empty()) {
    (void)::unlink(old_file_.c_str());
    old_file_.clear();
  }
  old_.reset();
}

}  // namespace salvor
