#include "engine/restore/restore_file.h"

namespace salvor {
namespace {

constexpr size_t kLongestKept = 4096;

}  // namespace

RestoreDirectory::RestoreDirectory(std::shared_ptr<RestoreDirectory> parent, std::string own_name)
    : above_(std::move(parent)), name_(std::move(own_name)) {
  const bool whole = !above_->above_ || !above_->location_.empty();
  if (whole && above_->location_.size() + 1 + name_.size() <= kLongestKept) {
    location_ = above_->location_ + "/" + name_;
  }
}

RestoreDirectory::~RestoreDirectory() {
  std::shared_ptr<RestoreDirectory> next = std::move(above_);
  while (next && next.use_count() == 1) {
    std::shared_ptr<RestoreDirectory> above = std::move(next->above_);
    next = std::move(above);
  }
}

std::string RestoreDirectory::location() const {
  if (!location_.empty()) {
    return location_;
  }
  if (!above_) {
    return "/";
  }
  std::vector<const RestoreDirectory*> way;
  const RestoreDirectory* at = this;
  for (; at->above_ && at->location_.empty(); at = at->above_.get()) {
    way.push_back(at);
  }
  std::string path = at->location_;
  for (size_t i = way.size(); i-- > 0;) {
    path.append("/").append(way[i]->name_);
  }
  return path;
}

std::string RestoreDirectory::location_of(const std::string& name) const {
  return !location_.empty() ? location_ + "/" + name
         : above_           ? location() + "/" + name
                            : "/" + name;
}

}  // namespace salvor
