#include "engine/maintenance/sample_check.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include "base/format.h"
#include "base/task.h"
#include "engine/reading/blobs_ahead.h"

namespace salvor {
namespace {

// Draws in a row that ended at nothing to read (empty directories, links) before giving up.
constexpr int kMostEmptyDraws = 64;
constexpr size_t kMostDepth = 4096;
constexpr unsigned kMostThreads = 8;
// Trees that are kept, encoded: a directory of large files has megabytes, and most draws lead
// through it.
constexpr uint64_t kKnownBytes = uint64_t{16} << 20;

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
  Sampler(const Context& context, const Repository& repository, const BlobId& root,
          const SampleOptions& options)
      : context_(context),
        repository_(repository),
        root_(root),
        most_blobs_(options.most_blobs),
        goal_bytes_(std::min(static_cast<uint64_t>(static_cast<double>(options.snapshot_bytes) *
                                                   std::clamp(options.share, 0.0, 1.0)),
                             options.most_bytes)),
        until_(context.clock.monotonic() + options.most_time) {}

  // The first blob alone, which is all that small snapshots want; the others on several threads:
  // far away, each draw waits for a round trip or two.
  void run() {
    BlobReader reader(repository_);
    do {
      draw(reader);
    } while (wants_more() && result_.blobs == 0);
    if (!wants_more()) {
      return;
    }
    ThreadPool pool("salvor-sample", std::min(reading_threads(repository_), kMostThreads));
    TaskGroup group(pool, context_.stop);
    for (unsigned i = 0; i < pool.size(); ++i) {
      group.run([this, stop = group.stop_token()] {
        BlobReader own(repository_);
        while (!stop.stop_requested() && wants_more()) {
          draw(own);
        }
      });
    }
    group.wait();
  }
  // Also after `run` has thrown.
  [[nodiscard]] SampleResult result() const { return result_; }

 private:
  [[nodiscard]] bool wants_more() const {
    const std::scoped_lock lock(mutex_);
    return (result_.blobs == 0 || (result_.bytes < goal_bytes_ && result_.blobs < most_blobs_)) &&
           empty_ < kMostEmptyDraws && context_.clock.monotonic() < until_;
  }

  // One blob of one file, unless the way ends at something without content.
  void draw(BlobReader& reader) {
    BlobId at = root_;
    std::string path;
    for (size_t depth = 0; depth < kMostDepth; ++depth) {
      context_.check_stopped();
      const std::shared_ptr<const Tree> tree = load(reader, path, at);
      // What has content or may lead to some.
      std::vector<const Node*> ways;
      for (const Node& node : tree->nodes) {
        if (node.subtree || !node.content.empty()) {
          ways.push_back(&node);
        }
      }
      if (ways.empty()) {
        break;
      }
      const Node& node = *ways[below(ways.size())];
      path += "/" + node.name;
      if (!node.content.empty()) {
        const BlobId& blob = node.content[below(node.content.size())];
        const size_t size =
            within(path, [&] { return reader.load(context_, {BlobType::kData, blob}); }).size();
        const std::scoped_lock lock(mutex_);
        result_.bytes += size;
        ++result_.blobs;
        empty_ = 0;
        return;
      }
      at = *node.subtree;
    }
    const std::scoped_lock lock(mutex_);
    ++empty_;
  }

  [[nodiscard]] size_t below(size_t count) { return context_.random.next_u64() % count; }

  std::shared_ptr<const Tree> load(BlobReader& reader, const std::string& path, const BlobId& id) {
    {
      const std::scoped_lock lock(mutex_);
      if (const auto found = known_.find(id); found != known_.end()) {
        return found->second;
      }
    }
    auto tree = std::make_shared<const Tree>(
        within(path.empty() ? "/" : path, [&] { return reader.load_tree(context_, id); }));
    const uint64_t size = repository_.index().content_length({BlobType::kTree, id}).value_or(0);
    const std::scoped_lock lock(mutex_);
    ++result_.trees;
    if (known_bytes_ + size <= kKnownBytes && known_.emplace(id, tree).second) {
      known_bytes_ += size;
    }
    return tree;
  }

  const Context& context_;
  const Repository& repository_;
  const BlobId root_;
  const size_t most_blobs_;
  const uint64_t goal_bytes_;
  const MonotonicTime until_;
  mutable std::mutex mutex_;  // guards what follows
  SampleResult result_;
  int empty_ = 0;  // draws in a row that found nothing to read
  std::unordered_map<BlobId, std::shared_ptr<const Tree>, IdHash> known_;
  uint64_t known_bytes_ = 0;  // encoded
};

}  // namespace

std::string SampleResult::text() const {
  return sound() ? fmt::format("{} blobs ({}) and {} trees read again", blobs, format_bytes(bytes),
                               trees)
                 : failure;
}

SampleResult check_sample(const Context& context, const Repository& repository, const BlobId& root,
                          const SampleOptions& options) {
  Sampler sampler(context, repository, root, options);
  std::string failure;
  try {
    sampler.run();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled || error.code() == ErrorCode::kUnreachable) {
      throw;
    }
    failure = error.message();
  }
  SampleResult result = sampler.result();
  result.failure = std::move(failure);
  return result;
}

}  // namespace salvor
