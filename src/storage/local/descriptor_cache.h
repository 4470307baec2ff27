// Open descriptors of the packs read last: a restore reads thousands of small ranges from each, and
// opening costs several times the read.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/fd.h"

namespace salvor {

// Least recently used go first. Thread-safe.
class DescriptorCache {
 public:
  // Shared: a descriptor that is dropped while another thread reads from it is closed by that
  // thread.
  using Handle = std::shared_ptr<const UniqueFd>;

  explicit DescriptorCache(size_t capacity) : capacity_(capacity) {}

  // Null when `name` is not held, or when its file was unlinked or replaced meanwhile (it is
  // dropped).
  [[nodiscard]] Handle find(std::string_view name);
  // A descriptor held under that name already is replaced.
  Handle insert(const std::string& name, UniqueFd fd);
  void erase(std::string_view name);
  [[nodiscard]] size_t size() const;

 private:
  struct Entry {
    std::string name;
    Handle handle;
  };
  using Order = std::list<Entry>;

  const size_t capacity_;
  mutable std::mutex mutex_;
  Order order_;                                                    // most recently used first
  std::unordered_map<std::string_view, Order::iterator> by_name_;  // keys are the entries' names
};

}  // namespace salvor
