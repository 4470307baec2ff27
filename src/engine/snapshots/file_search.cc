#include "engine/snapshots/file_search.h"

namespace salvor {

bool FileSearch::in_time(const Timestamp& changed) const {
  const bool too_old = oldest_ && changed.seconds < *oldest_;
  const bool too_new = newest_ && (changed.seconds > *newest_ ||
                                   (changed.seconds == *newest_ && changed.nanoseconds > 0));
  return !too_old && !too_new;
}

void FileSearch::run(
    const Context& context, BlobReader& reader, const BlobId& root,
    const std::function<void(const std::string& path, const Node&)>& on_match,
    const std::function<void(const std::string& path, const Error&)>& on_unreadable) const {
  walk_tree(
      context, reader, root, "",
      [&](const NodePlace& place, const Node& node) {
        const PathPatterns::Match match = patterns_.match(place.path);
        if (match.matched && in_time(node.mtime)) {
          on_match(place.path, node);
        }
        return match.child_may_match || match.matched ? Descend::kYes : Descend::kNo;
      },
      on_unreadable);
}

}  // namespace salvor
