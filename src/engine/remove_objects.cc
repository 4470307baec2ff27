#include "engine/remove_objects.h"

#include <algorithm>
#include <atomic>
#include <span>

#include "base/task.h"
#include "repo/repository.h"

namespace salvor {
namespace {

constexpr size_t kRemovalsTogether = 64;

}  // namespace

size_t remove_objects(const Context& context, const Repository& repository,
                      std::vector<ObjectName> objects) {
  Storage& storage = repository.storage();
  std::atomic<size_t> failed = 0;
  ThreadPool pool("salvor-remove", std::max(1U, storage.traits().connections));
  TaskGroup group(pool, context.stop);
  for (size_t begin = 0; begin < objects.size(); begin += kRemovalsTogether) {
    const auto part =
        std::span(objects).subspan(begin, std::min(kRemovalsTogether, objects.size() - begin));
    group.run([&storage, &failed, part, inner = context.with_stop(group.stop_token())] {
      try {
        storage.remove_many(inner, part);
        return;
      } catch (const Error& error) {
        if (error.code() == ErrorCode::kCancelled) {
          throw;
        }
      }
      for (const ObjectName& object : part) {
        try {
          storage.remove(inner, object);
        } catch (const Error& error) {
          if (error.code() == ErrorCode::kCancelled) {
            throw;
          }
          ++failed;
          inner.events.on(
              Warning{"cannot remove " + object.display() + ": " + error.message(), error.hint()});
        }
      }
    });
  }
  group.wait();
  return failed;
}

}  // namespace salvor
