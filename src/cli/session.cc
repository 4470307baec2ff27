#include "cli/session.h"

#include <array>
#include <vector>

#include <pwd.h>
#include <unistd.h>

namespace salvor::cli {

std::string current_user_name() {
  std::vector<char> scratch(16384);
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(::getuid(), &entry, scratch.data(), scratch.size(), &found) == 0 &&
      found != nullptr) {
    return found->pw_name;
  }
  return {};
}

std::string current_host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) {
    return {};
  }
  return name.data();
}

}  // namespace salvor::cli
