#include "storage/local/descriptor_cache.h"

#include <sys/stat.h>

namespace salvor {

DescriptorCache::Handle DescriptorCache::find(std::string_view name) {
  Handle handle;
  {
    const std::scoped_lock lock(mutex_);
    const auto place = by_name_.find(name);
    if (place == by_name_.end()) {
      return nullptr;
    }
    order_.splice(order_.begin(), order_, place->second);
    handle = place->second->handle;
  }
  // One cheap call keeps a long-lived process (mount) from serving a pack that others have removed
  // or mended. File systems that always count 0 links merely lose the benefit of the cache.
  struct stat status{};
  if (::fstat(handle->get(), &status) != 0 || status.st_nlink == 0) {
    erase(name);
    return nullptr;
  }
  return handle;
}

DescriptorCache::Handle DescriptorCache::insert(const std::string& name, UniqueFd fd) {
  auto handle = std::make_shared<const UniqueFd>(std::move(fd));
  Handle dropped;  // closed after the lock is released
  const std::scoped_lock lock(mutex_);
  const auto place = by_name_.find(name);
  if (place != by_name_.end()) {
    dropped = std::exchange(place->second->handle, handle);
    order_.splice(order_.begin(), order_, place->second);
    return handle;
  }
  order_.push_front({name, handle});
  by_name_.emplace(order_.front().name, order_.begin());
  if (order_.size() > capacity_) {
    dropped = std::move(order_.back().handle);
    by_name_.erase(order_.back().name);
    order_.pop_back();
  }
  return handle;
}

void DescriptorCache::erase(std::string_view name) {
  Handle dropped;
  const std::scoped_lock lock(mutex_);
  const auto place = by_name_.find(name);
  if (place != by_name_.end()) {
    dropped = std::move(place->second->handle);
    const auto entry = place->second;
    by_name_.erase(place);
    order_.erase(entry);
  }
}

size_t DescriptorCache::size() const {
  const std::scoped_lock lock(mutex_);
  return order_.size();
}

}  // namespace salvor
