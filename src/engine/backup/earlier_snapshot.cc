#include "engine/backup/earlier_snapshot.h"

#include <algorithm>

#include "engine/reading/tree_walk.h"

namespace salvor {

EarlierSnapshot::EarlierSnapshot(const Context& context, const Repository& repository,
                                 const BlobId& tree)
    : repository_(repository) {
  BlobReader reader(repository);
  walk_tree(
      context, reader, tree, "",
      [&](const NodePlace& place, const Node& node) {
        const bool whole =
            node.type == NodeType::kFile && !node.content_is_null &&
            std::all_of(node.content.begin(), node.content.end(), [&](const BlobId& id) {
              return repository_.index().contains({BlobType::kData, id});
            });
        if (whole) {
          files_.emplace(place.path.substr(1), node);
        }
        return Descend::kYes;
      },
      [&](const std::string& path, const Error& error) {
        context.events.on(
            Warning{"the earlier snapshot cannot be used for " + path + ": " + error.message(),
                    "Its files are read again. Run `salvor check` to see what else is damaged."});
      });
}

EarlierSnapshot::~EarlierSnapshot() = default;

const Node* EarlierSnapshot::find(const std::string& path) const {
  const auto found = files_.find(path);
  return found == files_.end() ? nullptr : &found->second;
}

std::vector<PartReader::Part> EarlierSnapshot::parts(const Node& file) const {
  std::vector<PartReader::Part> parts;
  parts.reserve(file.content.size());
  for (const BlobId& id : file.content) {
    parts.push_back({repository_.index().content_length({BlobType::kData, id}).value_or(0), id});
  }
  return parts;
}

Buffer EarlierSnapshot::read(const Context& context, const BlobId& blob) const {
  std::unique_ptr<BlobReader> reader;
  {
    const std::scoped_lock lock(mutex_);
    if (!readers_.empty()) {
      reader = std::move(readers_.back());
      readers_.pop_back();
    }
  }
  if (!reader) {
    reader = std::make_unique<BlobReader>(repository_);
  }
  Buffer bytes = reader->load(context, {BlobType::kData, blob});
  const std::scoped_lock lock(mutex_);
  readers_.push_back(std::move(reader));
  return bytes;
}

}  // namespace salvor
