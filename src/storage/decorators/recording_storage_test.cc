#include "storage/decorators/recording_storage.h"

#include <latch>
#include <set>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "storage/decorators/fault_storage.h"
#include "storage/local/local_storage.h"
#include "storage/memory_storage.h"
#include "support/storage_helpers.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

ObjectName named(std::string_view content, ObjectKind kind = ObjectKind::kPack) {
  return named_by_hash(kind, as_bytes(content));
}

// The contents that are there, in order, "+" between them.
std::string contents(const Crash& crash) {
  std::set<std::string> texts;
  for (const auto& [object, bytes] : crash.objects()) {
    texts.emplace(as_text(bytes->view()));
  }
  std::string all;
  for (const std::string& text : texts) {
    all += (all.empty() ? "" : "+") + text;
  }
  return all;
}

std::vector<std::string> all_contents(const std::vector<Crash>& crashes) {
  std::vector<std::string> all;
  for (const Crash& crash : crashes) {
    all.push_back(contents(crash));
  }
  return all;
}

TEST(Recording, EveryPrefixOfTheCallsIsACrash) {
  TestContext context;
  const auto base = make_memory_storage();
  base->put(*context, named("old"), as_bytes("old"));
  RecordingStorage storage(*context, borrow_storage(*base));
  storage.put(*context, named("new1"), as_bytes("new1"));
  storage.remove(*context, named("old"));
  EXPECT_THAT(all_contents(storage.crashes()),
              testing::ElementsAre("old",                                     // at the beginning
                                   "old", "new1+old",                         // put under way
                                   "new1+old", "new1+old", "new1", "new1"));  // remove under way
  EXPECT_THAT(all_contents(storage.crashes(true)), testing::Contains("ne+old"));
}

TEST(Recording, AReplacedConfigIsOldOrNew) {
  TestContext context;
  RecordingStorage storage(*context, make_memory_storage());
  storage.put(*context, {ObjectKind::kConfig, ""}, as_bytes("one"));
  storage.restart(*context);
  storage.replace_config(*context, as_bytes("two"));
  EXPECT_THAT(all_contents(storage.crashes()), testing::ElementsAre("one", "one", "two", "two"));
}

TEST(Recording, ParallelCallsHappenEachOnTheirOwn) {
  TestContext context;
  FaultStorage slow(make_memory_storage());
  RecordingStorage storage(*context, borrow_storage(slow));
  slow.add({.call = StorageCall::kPut,
            .count = 2,
            .effect = FaultEffect::kDelay,
            .delay = std::chrono::milliseconds(100)});
  {
    std::latch both(2);
    const auto put = [&](std::string_view content) {
      TestContext mine;
      both.arrive_and_wait();
      storage.put(*mine, named(content), as_bytes(content));
    };
    const std::jthread a(put, "a");
    const std::jthread b(put, "b");
  }
  EXPECT_THAT(all_contents(storage.crashes()), testing::IsSupersetOf({"", "a", "b", "a+b"}));
}

TEST(Recording, AFailedCallCountsAsWhatItDid) {
  TestContext context;
  FaultStorage faulty(make_memory_storage());
  RecordingStorage storage(*context, borrow_storage(faulty));
  faulty.add({.call = StorageCall::kPut, .effect = FaultEffect::kLoseReply});
  EXPECT_TRUE(code_of([&] { storage.put(*context, named("lost"), as_bytes("lost")); }));
  faulty.add({.call = StorageCall::kPut});
  EXPECT_TRUE(code_of([&] { storage.put(*context, named("never"), as_bytes("never")); }));
  EXPECT_EQ(contents(storage.crashes().back()), "lost");

  const auto replace = [&](std::string_view config) {
    return code_of([&] { storage.replace_config(*context, as_bytes(config)); }).has_value();
  };
  faulty.add({.call = StorageCall::kReplaceConfig});
  EXPECT_TRUE(replace("never"));
  EXPECT_EQ(contents(storage.crashes().back()), "lost");
  faulty.add({.call = StorageCall::kReplaceConfig, .effect = FaultEffect::kLoseReply});
  EXPECT_TRUE(replace("config"));
  EXPECT_EQ(contents(storage.crashes().back()), "config+lost");
  faulty.add({.call = StorageCall::kReplaceConfig});
  EXPECT_TRUE(replace("another"));
  EXPECT_EQ(contents(storage.crashes().back()), "config+lost");

  const auto remove = [&] {
    return code_of([&] { storage.remove(*context, named("lost")); }).has_value();
  };
  faulty.add({.call = StorageCall::kRemove});
  EXPECT_TRUE(remove());
  EXPECT_EQ(contents(storage.crashes().back()), "config+lost");
  faulty.add({.call = StorageCall::kRemove, .effect = FaultEffect::kLoseReply});
  EXPECT_TRUE(remove());
  EXPECT_EQ(contents(storage.crashes().back()), "config");
}

TEST(Recording, MarksAndDurabilitySayWhatWasPromised) {
  TestContext context;
  RecordingStorage storage(*context, make_memory_storage());
  storage.put(*context, named("first"), as_bytes("first"));
  storage.mark("first backup returned");
  storage.put(*context, named("second"), as_bytes("second"));
  storage.remove(*context, named("first"));
  bool promised = false;
  for (const Crash& crash : storage.crashes()) {
    EXPECT_GE(crash.has_mark("first backup returned"), promised) << crash.label();
    promised = crash.has_mark("first backup returned");
    if (crash.is_durable(named("first")) || crash.is_durable(named("second"))) {
      EXPECT_TRUE(promised);
    }
    for (const char* content : {"first", "second"}) {
      if (crash.is_durable(named(content))) {
        EXPECT_TRUE(crash.objects().contains(named(content))) << crash.label();
      }
    }
  }
  EXPECT_TRUE(promised);
  EXPECT_TRUE(storage.crashes().back().is_durable(named("second")));
  EXPECT_FALSE(storage.crashes().back().is_durable(named("first")));
  EXPECT_FALSE(storage.crashes().back().has_mark("another"));
}

TEST(Recording, ACrashBecomesADirectoryThatTheLocalStorageReads) {
  TestContext context;
  RecordingStorage storage(*context, make_memory_storage());
  const ObjectName nested{ObjectKind::kSalvor, "journal/a/1"};
  storage.put(*context, {ObjectKind::kConfig, ""}, as_bytes("config"));
  storage.put(*context, nested, as_bytes("nested"));
  storage.put(*context, named("key", ObjectKind::kKey), as_bytes("key"));
  storage.put(*context, named("pack"), as_bytes("pack"));
  const TempDirectory directory(TempPlace::kMemory);
  size_t temporary = 0;
  for (const Crash& crash : storage.crashes()) {
    const auto place = directory / "crashed";
    crash.materialise(place);
    const auto local = open_local_storage(place.string());
    std::map<ObjectName, std::string> found;
    for (const ObjectKind kind :
         {ObjectKind::kConfig, ObjectKind::kKey, ObjectKind::kPack, ObjectKind::kSalvor}) {
      for (const ObjectInfo& info : local->list_all(*context, kind)) {
        found[{kind, info.name}] = as_text(local->get(*context, {kind, info.name}).view());
      }
    }
    std::map<ObjectName, std::string> expected;
    for (const auto& [object, bytes] : crash.objects()) {
      expected[object] = as_text(bytes->view());
    }
    EXPECT_EQ(found, expected) << crash.label();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(place)) {
      temporary += entry.path().string().find("-tmp-") != std::string::npos ? 1 : 0;
    }
    const auto memory = make_memory_storage();
    crash.materialise(*context, *memory);
    EXPECT_EQ(memory->stat(*context, named("pack")).has_value(), found.contains(named("pack")));
  }
  EXPECT_EQ(temporary, 4U) << "each put was once caught half written";
}

}  // namespace
}  // namespace salvor::test
