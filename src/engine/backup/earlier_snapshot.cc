#include "engine/backup/earlier_snapshot.h"

#include <algorithm>
#include <utility>

#include "engine/reading/tree_walk.h"

namespace salvor {
namespace {

class Blobs final : public EarlierBlobs {
 public:
  Blobs(const Context& context, BlobReaders& readers, ThreadPool& pool, std::vector<BlobId> order)
      : ahead_(context, readers, pool, std::move(order)) {}
  Buffer read(const BlobId& blob) override { return ahead_.read(blob); }

 private:
  BlobsAhead ahead_;
};

}  // namespace

EarlierSnapshot::EarlierSnapshot(const Context& context, const Repository& repository,
                                 const BlobId& tree)
    : repository_(repository), readers_(repository) {
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
    parts.push_back({length(id), id});
  }
  return parts;
}

std::unique_ptr<EarlierBlobs> EarlierSnapshot::blobs(const Context& context,
                                                     std::vector<BlobId> order) const {
  return std::make_unique<Blobs>(context, readers_, pool(), std::move(order));
}

uint64_t EarlierSnapshot::length(const BlobId& blob) const {
  return repository_.index().content_length({BlobType::kData, blob}).value_or(0);
}

ThreadPool& EarlierSnapshot::pool() const {
  const std::scoped_lock lock(mutex_);
  if (!pool_) {
    pool_ = std::make_unique<ThreadPool>("salvor-earlier", reading_threads(repository_));
  }
  return *pool_;
}

}  // namespace salvor
