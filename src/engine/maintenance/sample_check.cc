#include "engine/maintenance/sample_check.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/format.h"

namespace salvor {
namespace {

// Draws in a row that ended at nothing to read (empty directories, links) before giving up.
constexpr int kMostEmptyDraws = 64;
constexpr size_t kMostDepth = 4096;

// What `read` throws says of which path.
template <class Read>
auto within(const std::string& path, Read read) {
  try {
    return read();
  } catch (Error& error) {
    error.within(printable(path));
    throw;
  }
}

class Sampler {
 public:
  Sampler(const Context& context, const Repository& repository)
      : context_(context), reader_(repository) {}

  // One blob of one file; false when the way ended at something without content.
  bool draw(const BlobId& root, SampleResult& result) {
    BlobId at = root;
    std::string path;
    for (size_t depth = 0; depth < kMostDepth; ++depth) {
      context_.check_stopped();
      const Tree tree = load(path, at, result);
      // What has content or may lead to some.
      std::vector<const Node*> ways;
      for (const Node& node : tree.nodes) {
        if (node.subtree || !node.content.empty()) {
          ways.push_back(&node);
        }
      }
      if (ways.empty()) {
        return false;
      }
      const Node& node = *ways[below(ways.size())];
      path += "/" + node.name;
      if (!node.content.empty()) {
        const BlobId& blob = node.content[below(node.content.size())];
        result.bytes +=
            within(path, [&] { return reader_.load(context_, {BlobType::kData, blob}); }).size();
        ++result.blobs;
        return true;
      }
      at = *node.subtree;
    }
    return false;
  }

 private:
  [[nodiscard]] size_t below(size_t count) { return context_.random.next_u64() % count; }

  Tree load(const std::string& path, const BlobId& id, SampleResult& result) {
    ++result.trees;
    return within(path.empty() ? "/" : path, [&] { return reader_.load_tree(context_, id); });
  }

  const Context& context_;
  BlobReader reader_;
};

}  // namespace

std::string SampleResult::text() const {
  return sound() ? fmt::format("{} blobs ({}) and {} trees read again", blobs, format_bytes(bytes),
                               trees)
                 : failure;
}

SampleResult check_sample(const Context& context, const Repository& repository, const BlobId& root,
                          const SampleOptions& options) {
  const auto wanted = static_cast<uint64_t>(static_cast<double>(options.snapshot_bytes) *
                                            std::clamp(options.share, 0.0, 1.0));
  const uint64_t goal = std::min(wanted, options.most_bytes);
  const MonotonicTime until = context.clock.monotonic() + options.most_time;
  SampleResult result;
  Sampler sampler(context, repository);
  try {
    int empty = 0;
    do {
      empty = sampler.draw(root, result) ? 0 : empty + 1;
    } while ((result.blobs == 0 || (result.bytes < goal && result.blobs < options.most_blobs)) &&
             empty < kMostEmptyDraws && context.clock.monotonic() < until);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled || error.code() == ErrorCode::kUnreachable) {
      throw;
    }
    result.failure = error.message();
  }
  return result;
}

}  // namespace salvor
