#include "storage/decorators/cache_storage.h"

#include <fstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "storage/decorators/fault_storage.h"
#include "storage/memory_storage.h"
#include "support/storage_helpers.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

namespace fs = std::filesystem;

class Cache : public testing::Test {
 protected:
  void SetUp() override {
    object_ = named_by_hash(ObjectKind::kIndex, as_bytes(content_));
    base_.put(*context_, object_, as_bytes(content_));
    reopen();
  }
  void reopen() {
    cache_ = std::make_unique<CacheStorage>(
        borrow_storage(base_), CacheOptions{.directory = (top_ / repository_).string(),
                                            .keep_pack = [](std::string_view) { return true; },
                                            .max_pack_bytes = 1000});
  }
  [[nodiscard]] fs::path cached(const ObjectName& object, const char* folder = "index") const {
    return top_ / repository_ / folder / object.name.substr(0, 2) / object.name;
  }
  std::string get() { return std::string(as_text(cache_->get(*context_, object_, 1000).view())); }
  [[nodiscard]] uint64_t fetched() const { return base_.calls(StorageCall::kGet); }

  TempDirectory directory_{TempPlace::kMemory};
  const fs::path top_ = directory_ / "salvor";
  const std::string repository_ = std::string(64, 'e');  // its id
  TestContext context_;
  FaultStorage base_{make_memory_storage()};
  const std::string content_ = "what never changes";
  ObjectName object_;
  std::unique_ptr<CacheStorage> cache_;
};

TEST_F(Cache, FetchesOnceAlsoAcrossProcesses) {
  EXPECT_EQ(get(), content_);
  EXPECT_EQ(get(), content_);
  reopen();
  EXPECT_EQ(get(), content_);
  EXPECT_EQ(fetched(), 1U);
  EXPECT_EQ(cache_->statistics().hits, 1U);
  EXPECT_TRUE(fs::exists(cached(object_)));
  EXPECT_TRUE(fs::exists(top_ / "CACHEDIR.TAG"));
}

TEST_F(Cache, WhatDoesNotVerifyIsFetchedAgain) {
  for (const char* damage : {"tampered", ""}) {
    EXPECT_EQ(get(), content_);
    std::ofstream(cached(object_)) << damage;
    const uint64_t before = fetched();
    EXPECT_EQ(get(), content_);
    EXPECT_EQ(fetched(), before + 1);
    EXPECT_EQ(get(), content_);
    EXPECT_EQ(fetched(), before + 1) << "the cache was not mended";
  }
  EXPECT_EQ(cache_->statistics().dropped, 2U);
}

TEST_F(Cache, DamageAtTheBaseIsNotKept) {
  base_.add({.call = StorageCall::kGet, .effect = FaultEffect::kFlipBit});
  EXPECT_NE(get(), content_);
  EXPECT_FALSE(fs::exists(cached(object_)));
  EXPECT_EQ(get(), content_);
}

TEST_F(Cache, OwnWritesAreCachedAndRemovalsRemoved) {
  const ObjectName snapshot = named_by_hash(ObjectKind::kSnapshot, as_bytes("snapshot"));
  cache_->put(*context_, snapshot, as_bytes("snapshot"));
  EXPECT_TRUE(fs::exists(cached(snapshot, "snapshots")));
  (void)cache_->get(*context_, snapshot, 100);
  EXPECT_EQ(fetched(), 0U);
  cache_->remove(*context_, snapshot);
  EXPECT_FALSE(fs::exists(cached(snapshot, "snapshots")));
  EXPECT_EQ(code_of([&] { (void)cache_->get(*context_, snapshot, 100); }), ErrorCode::kNotFound);
}

TEST_F(Cache, ConfigKeysAndLocksAreNeverCached) {
  cache_->put(*context_, {ObjectKind::kConfig, ""}, as_bytes("config"));
  const ObjectName lock = named_by_hash(ObjectKind::kLock, as_bytes("lock"));
  cache_->put(*context_, lock, as_bytes("lock"));
  (void)cache_->get(*context_, lock, 100);
  (void)cache_->get(*context_, lock, 100);
  EXPECT_EQ(fetched(), 2U);
  EXPECT_FALSE(fs::exists(top_));
}

TEST_F(Cache, ListingDropsWhatIsGone) {
  EXPECT_EQ(get(), content_);
  base_.remove(*context_, object_);
  EXPECT_TRUE(cache_->list_all(*context_, ObjectKind::kIndex).empty());
  EXPECT_FALSE(fs::exists(cached(object_)));
}

TEST_F(Cache, TreePacksAreFetchedWholeAndVerifiedOnce) {
  const Buffer content = pattern(900, 1);
  const ObjectName pack = named_by_hash(ObjectKind::kPack, content.view());
  base_.put(*context_, pack, content.view());
  Buffer out(100);
  for (int process = 0; process < 2; ++process) {
    for (const uint64_t offset : {0, 300, 800}) {
      cache_->get_range(*context_, pack, offset, out.bytes());
      EXPECT_TRUE(std::ranges::equal(out.view(), content.view(offset, 100)));
    }
    reopen();
  }
  EXPECT_EQ(base_.calls(StorageCall::kGetRange), 0U);
  EXPECT_EQ(fetched(), 1U);
  // Tampered with between two processes: not believed.
  fs::permissions(cached(pack, "data"), fs::perms::owner_all);
  std::ofstream(cached(pack, "data")) << std::string(900, 'x');
  cache_->get_range(*context_, pack, 300, out.bytes());
  EXPECT_TRUE(std::ranges::equal(out.view(), content.view(300, 100)));
  EXPECT_EQ(fetched(), 2U);
  EXPECT_EQ(code_of([&] { cache_->get_range(*context_, pack, 850, out.bytes()); }),
            ErrorCode::kDamaged);
}

TEST_F(Cache, LargeAndDamagedPacksAreReadByRanges) {
  const Buffer large = pattern(2000, 1);
  const ObjectName pack = named_by_hash(ObjectKind::kPack, large.view());
  base_.put(*context_, pack, large.view());
  const ObjectName damaged = named_by_hash(ObjectKind::kPack, as_bytes("good"));
  base_.put(*context_, damaged, as_bytes("evil"));
  Buffer out(4);
  cache_->get_range(*context_, pack, 1996, out.bytes());
  EXPECT_TRUE(std::ranges::equal(out.view(), large.view(1996, 4)));
  // That it is too large is found out once, at the cost of what was read in vain.
  EXPECT_EQ(fetched(), 1U);
  cache_->get_range(*context_, pack, 0, out.bytes());
  EXPECT_EQ(fetched(), 1U);
  EXPECT_EQ(CacheOptions().max_pack_bytes, uint64_t{32} << 20) << "a thread holds one in memory";
  cache_->get_range(*context_, damaged, 0, out.bytes());
  EXPECT_EQ(as_text(out.view()), "evil");
  EXPECT_FALSE(fs::exists(cached(damaged, "data")));
}

TEST_F(Cache, ACacheThatCannotBeWrittenIsToldOnceAndHarmless) {
  std::ofstream(top_) << "a file is in the way";
  EXPECT_EQ(get(), content_);
  EXPECT_EQ(get(), content_);
  const auto events = context_.events.events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_TRUE(std::holds_alternative<Warning>(events[0]));
  EXPECT_GE(cache_->statistics().failures, 1U);
}

TEST_F(Cache, OnlyRemoteStoragesAreCached) {
  auto memory = make_memory_storage();
  Storage* const before = memory.get();
  const auto after = with_cache(std::move(memory), {.directory = top_.string()});
  EXPECT_EQ(after.get(), before);
}

TEST_F(Cache, PruneDropsTheOldAndThenTheLongestUnused) {
  std::vector<ObjectName> objects;
  for (int i = 0; i < 5; ++i) {
    const std::string content = std::to_string(i) + std::string(99, 'x');
    objects.push_back(named_by_hash(ObjectKind::kSnapshot, as_bytes(content)));
    cache_->put(*context_, objects.back(), as_bytes(content));
    const auto age = std::chrono::hours(i == 0 ? 24 * 40 : 10 - i);
    fs::last_write_time(cached(objects.back(), "snapshots"),
                        fs::file_time_type::clock::now() - age);
  }
  (void)cache_->get(*context_, objects[1], 1000);  // used just now
  const CachePruned pruned =
      prune_cache(*context_, top_.string(), {.max_bytes = 250, .max_age = std::chrono::hours(720)});
  EXPECT_EQ(pruned.files, 3U);
  EXPECT_EQ(pruned.bytes, 300U);
  const std::vector<bool> left = {false, true, false, false, true};
  for (size_t i = 0; i < left.size(); ++i) {
    EXPECT_EQ(fs::exists(cached(objects[i], "snapshots")), left[i]) << i;
  }
  EXPECT_TRUE(fs::exists(top_ / "CACHEDIR.TAG"));
}

// The directory may be any that somebody has named: only files of a cache are removed.
TEST_F(Cache, PruneTouchesNothingElse) {
  const std::string hex(64, 'a');
  const std::vector<std::string> others{"file",
                                        hex,
                                        "last-pruned",
                                        "wal/notes",
                                        "mail/data/aa/" + hex,  // perhaps somebody's repository
                                        repository_ + "/config",
                                        repository_ + "/keys/" + hex,
                                        repository_ + "/data/aa/README",
                                        repository_ + "/data/aa/" + hex + "x"};
  const std::vector<std::string> ours{repository_ + "/data/aa/" + hex,
                                      repository_ + "/index/aa/" + hex + "-tmp-12"};
  fs::create_directories(directory_ / "elsewhere/data/aa");
  std::ofstream(directory_ / "elsewhere/data/aa" / hex) << "x";
  for (const auto& names : {others, ours}) {
    for (const std::string& name : names) {
      fs::create_directories((top_ / name).parent_path());
      std::ofstream(top_ / name) << "x";
      fs::last_write_time(top_ / name,
                          fs::file_time_type::clock::now() - std::chrono::hours(24 * 400));
    }
  }
  fs::create_directory_symlink(directory_ / "elsewhere", top_ / std::string(64, 'f'));
  const CachePruned pruned = prune_cache(*context_, top_.string(), {.max_bytes = 0});
  EXPECT_EQ(pruned.files, ours.size());
  for (const std::string& name : others) {
    EXPECT_TRUE(fs::exists(top_ / name)) << name;
  }
  EXPECT_TRUE(fs::exists(directory_ / "elsewhere/data/aa" / hex));
}

TEST_F(Cache, IsPrunedByWhoeverWritesToItOnceADay) {
  const auto age = [&](const fs::path& path, int days) {
    fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(24 * days));
  };
  const auto put = [&](const std::string& content) {
    const ObjectName object = named_by_hash(ObjectKind::kSnapshot, as_bytes(content));
    cache_->put(*context_, object, as_bytes(content));
    return cached(object, "snapshots");
  };
  const fs::path old = put("old");
  EXPECT_TRUE(fs::exists(top_ / "last-pruned"));
  age(old, 31);
  reopen();  // another process, on the same day
  (void)put("second");
  EXPECT_TRUE(fs::exists(old));
  age(top_ / "last-pruned", 2);
  (void)put("third");
  EXPECT_TRUE(fs::exists(old)) << "once a process";
  reopen();
  (void)get();
  EXPECT_FALSE(fs::exists(old));
  EXPECT_EQ(get(), content_);
  EXPECT_TRUE(context_.events.events().empty());
}

TEST_F(Cache, SeveralProcessesMayShareIt) {
  std::vector<std::pair<ObjectName, std::string>> objects;
  for (int i = 0; i < 20; ++i) {
    objects.emplace_back(ObjectName{}, std::string(200'000, static_cast<char>('a' + i)));
    objects.back().first = named_by_hash(ObjectKind::kIndex, as_bytes(objects.back().second));
    base_.put(*context_, objects.back().first, as_bytes(objects.back().second));
  }
  std::atomic<int> wrong = 0;
  const auto use = [&](uint64_t seed) {
    TestContext mine(seed);
    CacheStorage cache(borrow_storage(base_), {.directory = (top_ / repository_).string()});
    for (int round = 0; round < 3; ++round) {
      for (const auto& [object, content] : objects) {
        wrong += as_text(cache.get(*mine, object, 1'000'000).view()) != content;
      }
      (void)prune_cache(*mine, top_.string(), {.max_bytes = 1'000'000});
    }
    wrong += static_cast<int>(cache.statistics().dropped);
  };
  {
    const std::jthread first(use, 1);
    const std::jthread second(use, 2);
  }
  EXPECT_EQ(wrong, 0) << "a torn file was seen";
}

TEST_F(Cache, WhatCannotBeReadComesFromTheStorage) {
  fs::create_directories(cached(object_));  // where a file should be
  EXPECT_EQ(as_text(cache_->get(*context_, object_, 1'000'000).view()), content_);
  EXPECT_EQ(cache_->statistics().failures, 1U);
  EXPECT_EQ(context_.events.events().size(), 1U);

  reopen();
  const Buffer content = pattern(900, 1);
  const ObjectName pack = named_by_hash(ObjectKind::kPack, content.view());
  base_.put(*context_, pack, content.view());
  Buffer out(100);
  cache_->get_range(*context_, pack, 0, out.bytes());
  fs::remove(cached(pack, "data"));
  fs::create_directories(cached(pack, "data"));
  cache_->get_range(*context_, pack, 300, out.bytes());
  EXPECT_TRUE(std::ranges::equal(out.view(), content.view(300, 100)));
  EXPECT_EQ(context_.events.events().size(), 2U) << "it is told once more of the new cache";
}

TEST(CacheDirectory, FollowsTheSpecification) {
  EXPECT_EQ(default_cache_directory("/x", "/home/a"), "/x/salvor");
  EXPECT_EQ(default_cache_directory("", "/home/a"), "/home/a/.cache/salvor");
  EXPECT_EQ(default_cache_directory("relative", "/home/a"), "/home/a/.cache/salvor");
  EXPECT_EQ(default_cache_directory("", ""), "");
}

}  // namespace
}  // namespace salvor::test
