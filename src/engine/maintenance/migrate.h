// Changes of the repository's format.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/context.h"

namespace salvor {

class Repository;

struct Migration {
  std::string name;
  std::string description;
  // Why it does not apply to this repository; "" when it does.
  std::string obstacle;
};

// Every migration there is, with what stands in its way.
[[nodiscard]] std::vector<Migration> list_migrations(const Repository& repository);

// Version 1 to 2 (restic format, section 3): only the config is replaced, atomically; packs and
// index stay as they are and become compressed as prune repacks them. Check the repository first,
// and hold an exclusive lock; `confirm_lock` is called right before the change.
void upgrade_to_version_2(const Context& context, Repository& repository,
                          const std::function<void()>& confirm_lock);

}  // namespace salvor
