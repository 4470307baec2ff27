#include "plan/network_cage.h"

#include <unistd.h>

#include "base/error.h"
#include "net/subprocess.h"
#include "plan/process.h"

namespace salvor::plan {
namespace {

// The first line that it prints; empty at its end.
std::string first_line(Subprocess& process) {
  std::string line;
  std::byte byte{};
  while (process.read({&byte, 1}) == 1 && byte != std::byte{'\n'}) {
    line += static_cast<char>(byte);
  }
  return line;
}

bool works(std::vector<std::string> prefix) {
  prefix.insert(prefix.begin(), {"sh", "-c", "exec \"$@\" 2>/dev/null", "sh"});
  prefix.emplace_back("true");
  Subprocess trial({.arguments = prefix});
  return trial.wait().success();
}

}  // namespace

NetworkCage::NetworkCage() {
  const bool root = ::geteuid() == 0;
  // Who makes the namespace keeps it; it says its number, and waits.
  std::vector<std::string> words{"sh", "-c", "exec \"$@\" 2>/dev/null", "sh", "unshare", "--net"};
  if (!root) {
    words.emplace_back("--map-root-user");
  }
  words.insert(words.end(), {"--", "sh", "-c", "ip link set lo up 2>/dev/null; echo $$; exec cat"});
  try {
    if (!program_exists("unshare") || !program_exists("nsenter")) {
      return;
    }
    holder_ = std::make_unique<Subprocess>(
        SubprocessOptions{.arguments = words, .pipe_stdin = true, .own_group = true});
    const std::string pid = first_line(*holder_);
    if (pid.empty()) {
      return;
    }
    const std::string place = "/proc/" + pid + "/ns/";
    std::vector<std::string> prefix{"nsenter"};
    if (!root) {
      prefix.insert(prefix.end(), {"--user=" + place + "user", "--preserve-credentials"});
    }
    prefix.insert(prefix.end(), {"--net=" + place + "net", "--"});
    if (works(prefix)) {
      prefix_ = std::move(prefix);
    }
  } catch (const Error&) {  // no program, no leave: then there is none
    prefix_.clear();
  }
}

NetworkCage::~NetworkCage() = default;

}  // namespace salvor::plan
