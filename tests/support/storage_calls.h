// Calls of a storage that go to its server, for tests of what each of them makes of an answer.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "storage/storage.h"
#include "support/test_context.h"

namespace salvor::test {

// Each with the pack `object`: get, get_range, stat, a list of packs, put, remove. All that they
// refer to must outlive them.
[[nodiscard]] inline std::vector<std::function<void()>> calls_of(Storage& storage,
                                                                 TestContext& context,
                                                                 const ObjectName& object) {
  return {[&] { (void)storage.get(*context, object, 100); },
          [&] {
            Buffer out(1);
            storage.get_range(*context, object, 0, out.bytes());
          },
          [&] { (void)storage.stat(*context, object); },
          [&] { (void)storage.list_all(*context, ObjectKind::kPack); },
          [&] { storage.put(*context, object, as_bytes("content")); },
          [&] { storage.remove(*context, object); }};
}

}  // namespace salvor::test
