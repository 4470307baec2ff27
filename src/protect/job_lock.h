// One run of a source at a time on this machine (T1: no overlap). A lock file in the state
// directory, held by flock: it is free when its holder ends, however it ends.
#pragma once

#include <optional>
#include <string>

#include "base/fd.h"

namespace salvor {

class JobLock {
 public:
  // Nothing when another process has it. Throws Error when there can be no lock file. `name`: of
  // the source, drill or repository; anything but a letter, digit, '-' or '_' is written as '_'.
  [[nodiscard]] static std::optional<JobLock> take(const std::string& state_directory,
                                                   const std::string& name);

 private:
  explicit JobLock(UniqueFd file) : file_(std::move(file)) {}
  UniqueFd file_;
};

}  // namespace salvor
