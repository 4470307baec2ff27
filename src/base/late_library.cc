#include "base/late_library.h"

#include <string>

#include <dlfcn.h>

#include "base/error.h"

namespace salvor {

void* LateLibrary::find(const char* function) {
  const std::scoped_lock lock(mutex_);
  if (handle_ == nullptr) {
    handle_ = ::dlopen(soname_, RTLD_LAZY | RTLD_LOCAL);
    if (handle_ == nullptr) {
      const char* const reason = ::dlerror();
      throw Error(ErrorCode::kFailed,
                  std::string("this needs the library ") + soname_ + ": " +
                      (reason != nullptr ? reason : "it cannot be loaded"),
                  std::string("Install the package that has it (Debian: ") + package_ + ").");
    }
  }
  void* const address = ::dlsym(handle_, function);
  if (address == nullptr) {
    throw Error(
        ErrorCode::kFailed, std::string("the library ") + soname_ + " has no function " + function,
        std::string("It is too old: update the package that has it (Debian: ") + package_ + ").");
  }
  return address;
}

}  // namespace salvor
