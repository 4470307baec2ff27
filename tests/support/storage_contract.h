// What every Storage must do (storage/storage.h), as one suite. To run it against an
// implementation:
//
//   INSTANTIATE_TEST_SUITE_P(Local, StorageContract, testing::Values(StorageUnderTest{"local",
//   make}));
//
// in a .cc file that includes this header (one a program).
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cctype>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "storage/storage.h"
#include "support/storage_helpers.h"
#include "support/test_context.h"

namespace salvor::test {

// One place and everything needed to reach it.
class StoragePlace {
 public:
  virtual ~StoragePlace() = default;
  // Another handle on the same place, as another process would have.
  [[nodiscard]] virtual std::unique_ptr<Storage> open() = 0;
  // Puts something there that is not an object: `path` is relative to the repository. False when
  // the place cannot hold such things.
  virtual bool add_foreign(const std::string& path) = 0;
  // What the protocol of REST servers cannot: our own area, and an atomic replace_config.
  [[nodiscard]] virtual bool is_rest_server() const { return false; }
  // Whether what dies in a put leaves files behind; then add_foreign makes such files as well.
  [[nodiscard]] virtual bool has_leftovers() const { return false; }
  // Whether others may see an object grow while it is stored.
  [[nodiscard]] virtual bool shows_parts() const { return false; }
};

struct StorageUnderTest {
  std::string name;
  std::function<std::unique_ptr<StoragePlace>()> make;
};

inline std::ostream& operator<<(std::ostream& out, const StorageUnderTest& under_test) {
  return out << under_test.name;
}

class StorageContract : public testing::TestWithParam<StorageUnderTest> {
 protected:
  void SetUp() override {
    place_ = GetParam().make();
    storage_ = place_->open();
    storage_->create(context());
  }
  [[nodiscard]] Context context() { return *context_; }
  [[nodiscard]] std::set<std::string> names(ObjectKind kind) {
    std::set<std::string> found;
    for (const ObjectInfo& object : storage_->list_all(context(), kind)) {
      EXPECT_TRUE(found.insert(object.name).second) << "listed twice: " << object.name;
    }
    return found;
  }
  ObjectName put(ObjectKind kind, ByteView content) {
    const ObjectName object = named_by_hash(kind, content);
    storage_->put(context(), object, content);
    return object;
  }

  TestContext context_;
  std::unique_ptr<StoragePlace> place_;
  std::unique_ptr<Storage> storage_;
};

constexpr ObjectKind kHashedKinds[] = {ObjectKind::kKey, ObjectKind::kLock, ObjectKind::kSnapshot,
                                       ObjectKind::kIndex, ObjectKind::kPack};
constexpr ObjectKind kAllKinds[] = {ObjectKind::kConfig,   ObjectKind::kKey,   ObjectKind::kLock,
                                    ObjectKind::kSnapshot, ObjectKind::kIndex, ObjectKind::kPack,
                                    ObjectKind::kSalvor};

TEST_P(StorageContract, GivesBackWhatWasPut) {
  for (const ObjectKind kind : kAllKinds) {
    if (kind == ObjectKind::kSalvor && place_->is_rest_server()) {
      continue;
    }
    const Buffer content = pattern(100'000, static_cast<uint64_t>(kind));
    ObjectName object = named_by_hash(kind, content.view());
    if (kind == ObjectKind::kConfig) {
      object.name.clear();
    } else if (kind == ObjectKind::kSalvor) {
      object.name = "journal/store-1/timeline_2/00000001.zst";
    }
    EXPECT_FALSE(storage_->stat(context(), object).has_value());
    storage_->put(context(), object, content.view());
    const Buffer got = storage_->get(context(), object);
    EXPECT_TRUE(std::ranges::equal(got.view(), content.view()));
    const auto info = storage_->stat(context(), object);
    ASSERT_TRUE(info.has_value());
    EXPECT_EQ(info->name, object.name);
    EXPECT_EQ(info->size_bytes, content.size());
    const auto listed = storage_->list_all(context(), kind);
    ASSERT_EQ(listed.size(), 1U) << object_kind_name(kind);
    EXPECT_EQ(listed[0].name, object.name);
    EXPECT_EQ(listed[0].size_bytes, content.size());
  }
}

TEST_P(StorageContract, AnotherHandleSeesItAtOnce) {
  const Buffer content = pattern(1000, 7);
  const ObjectName object = put(ObjectKind::kSnapshot, content.view());
  const auto other = place_->open();
  EXPECT_TRUE(std::ranges::equal(other->get(context(), object).view(), content.view()));
  other->remove(context(), object);
  EXPECT_FALSE(storage_->stat(context(), object).has_value());
}

TEST_P(StorageContract, CreateIsIdempotentAndKeepsObjects) {
  const ObjectName object = put(ObjectKind::kPack, as_bytes("content"));
  storage_->create(context());
  place_->open()->create(context());
  EXPECT_EQ(as_text(storage_->get(context(), object).view()), "content");
}

TEST_P(StorageContract, PartsAreConcatenated) {
  // More parts than one system call takes, some empty.
  const Buffer content = pattern(5000, 1);
  std::vector<ByteView> parts;
  for (size_t i = 0; i < content.size(); i += 2) {
    parts.push_back(content.view(i, 2));
    parts.push_back({});
  }
  const ObjectName object = named_by_hash(ObjectKind::kPack, content.view());
  storage_->put(context(), object, parts);
  EXPECT_TRUE(std::ranges::equal(storage_->get(context(), object).view(), content.view()));
}

TEST_P(StorageContract, EmptyObjectsAreObjects) {
  const ObjectName object = put(ObjectKind::kLock, {});
  EXPECT_EQ(storage_->get(context(), object).size(), 0U);
  EXPECT_EQ(storage_->stat(context(), object)->size_bytes, 0U);
  storage_->get_range(context(), object, 0, {});
  const ObjectName none = named_by_hash(ObjectKind::kIndex, {});
  storage_->put(context(), none, std::span<const ByteView>());
  EXPECT_EQ(storage_->get(context(), none).size(), 0U);
}

TEST_P(StorageContract, PutTwiceIsOnePut) {
  const ObjectName object = put(ObjectKind::kPack, as_bytes("content"));
  EXPECT_NO_THROW(storage_->put(context(), object, as_bytes("content")));
  EXPECT_EQ(as_text(storage_->get(context(), object).view()), "content");
  EXPECT_EQ(names(ObjectKind::kPack).size(), 1U);
}

TEST_P(StorageContract, PutNeverReplaces) {
  const ObjectName pack = put(ObjectKind::kPack, as_bytes("content"));
  EXPECT_EQ(code_of([&] { storage_->put(context(), pack, as_bytes("longer content")); }),
            ErrorCode::kFailed);
  EXPECT_EQ(as_text(storage_->get(context(), pack).view()), "content");
  // Names that are not content hashes: the same length is not enough.
  for (const ObjectName& object :
       {ObjectName{ObjectKind::kConfig, ""}, ObjectName{ObjectKind::kSalvor, "a/b"}}) {
    if (object.kind == ObjectKind::kSalvor && place_->is_rest_server()) {
      continue;
    }
    storage_->put(context(), object, as_bytes("first"));
    EXPECT_NO_THROW(storage_->put(context(), object, as_bytes("first")));
    EXPECT_EQ(code_of([&] { storage_->put(context(), object, as_bytes("other")); }),
              ErrorCode::kFailed);
    EXPECT_EQ(as_text(storage_->get(context(), object).view()), "first");
  }
}

TEST_P(StorageContract, ReplaceConfigReplaces) {
  const ObjectName config{ObjectKind::kConfig, ""};
  storage_->put(context(), config, as_bytes("version 1"));
  storage_->replace_config(context(), as_bytes("version two"));
  EXPECT_EQ(as_text(storage_->get(context(), config).view()), "version two");
  storage_->replace_config(context(), as_bytes("3"));
  EXPECT_EQ(as_text(storage_->get(context(), config).view()), "3");
  EXPECT_EQ(storage_->list_all(context(), ObjectKind::kConfig).size(), 1U);
}

TEST_P(StorageContract, AbsentObjectsAreNotFound) {
  for (const ObjectKind kind : kAllKinds) {
    ObjectName object = named_by_hash(kind, as_bytes("absent"));
    if (kind == ObjectKind::kConfig) {
      object.name.clear();
    }
    EXPECT_EQ(code_of([&] { (void)storage_->get(context(), object); }), ErrorCode::kNotFound);
    std::byte byte{};
    EXPECT_EQ(code_of([&] { storage_->get_range(context(), object, 0, {&byte, 1}); }),
              ErrorCode::kNotFound);
    EXPECT_FALSE(storage_->stat(context(), object).has_value());
    EXPECT_NO_THROW(storage_->remove(context(), object));
    EXPECT_TRUE(storage_->list_all(context(), kind).empty());
  }
  EXPECT_FALSE(
      storage_->stat(context(), {ObjectKind::kSalvor, "no/such/directory/here"}).has_value());
}

TEST_P(StorageContract, ErrorsNameTheObject) {
  const ObjectName object = named_by_hash(ObjectKind::kPack, as_bytes("absent"));
  try {
    (void)storage_->get(context(), object);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(error.message().find("pack " + object.name.substr(0, 8)), std::string::npos)
        << error.message();
  }
}

TEST_P(StorageContract, RangesAreExactUpToTheLastByte) {
  const Buffer content = pattern(300'000, 3);
  const ObjectName object = put(ObjectKind::kPack, content.view());
  const struct {
    uint64_t offset;
    size_t length;
  } ranges[] = {{0, 1},       {0, 300'000}, {299'999, 1}, {1, 299'999},
                {4095, 4098}, {0, 0},       {300'000, 0}};
  for (const auto& [offset, length] : ranges) {
    Buffer out(length);
    storage_->get_range(context(), object, offset, out.bytes());
    EXPECT_TRUE(std::ranges::equal(out.view(), content.view(offset, length)))
        << offset << "+" << length;
  }
}

TEST_P(StorageContract, RangesBeyondTheEndAreDamage) {
  const ObjectName object = put(ObjectKind::kPack, pattern(1000, 3).view());
  Buffer out(10);
  for (const uint64_t offset : {uint64_t{991}, uint64_t{1000}, uint64_t{1001}, uint64_t{1} << 40}) {
    EXPECT_EQ(code_of([&] { storage_->get_range(context(), object, offset, out.bytes()); }),
              ErrorCode::kDamaged)
        << offset;
  }
}

TEST_P(StorageContract, GetRefusesWhatIsLargerThanTheLimit) {
  const ObjectName object = put(ObjectKind::kIndex, pattern(1000, 3).view());
  EXPECT_EQ(storage_->get(context(), object, 1000).size(), 1000U);
  EXPECT_EQ(code_of([&] { (void)storage_->get(context(), object, 999); }), ErrorCode::kDamaged);
}

TEST_P(StorageContract, RemoveRemovesOnlyThatObject) {
  const ObjectName first = put(ObjectKind::kPack, as_bytes("first"));
  const ObjectName second = put(ObjectKind::kPack, as_bytes("second"));
  const ObjectName same_name{ObjectKind::kIndex, first.name};
  storage_->put(context(), same_name, as_bytes("first"));
  Buffer out(5);
  storage_->get_range(context(), first, 0,
                      out.bytes());  // an open descriptor must not keep it alive
  storage_->remove(context(), first);
  EXPECT_EQ(code_of([&] { storage_->get_range(context(), first, 0, out.bytes()); }),
            ErrorCode::kNotFound);
  EXPECT_EQ(names(ObjectKind::kPack), std::set<std::string>{second.name});
  EXPECT_TRUE(storage_->stat(context(), same_name).has_value());
  storage_->remove(context(), first);
  storage_->put(context(), first, as_bytes("first"));
  storage_->get_range(context(), first, 0, out.bytes());
  EXPECT_EQ(as_text(out.view()), "first");
}

TEST_P(StorageContract, RemovalByOthersIsSeenByAReader) {
  const ObjectName object = put(ObjectKind::kPack, as_bytes("content"));
  Buffer out(7);
  storage_->get_range(context(), object, 0, out.bytes());
  place_->open()->remove(context(), object);
  EXPECT_EQ(code_of([&] { storage_->get_range(context(), object, 0, out.bytes()); }),
            ErrorCode::kNotFound);
}

TEST_P(StorageContract, RemoveManyRemovesAllOfThem) {
  std::vector<ObjectName> objects;
  for (int i = 0; i < 50; ++i) {
    const ObjectKind kind = kHashedKinds[i % 5];
    objects.push_back(put(kind, as_bytes(std::to_string(i))));
  }
  const ObjectName kept = put(ObjectKind::kPack, as_bytes("kept"));
  objects.push_back(named_by_hash(ObjectKind::kPack, as_bytes("absent")));
  storage_->remove_many(context(), objects);
  for (const ObjectKind kind : kHashedKinds) {
    const std::set<std::string> left = names(kind);
    EXPECT_EQ(left, kind == ObjectKind::kPack ? std::set<std::string>{kept.name}
                                              : std::set<std::string>{});
  }
}

TEST_P(StorageContract, ListsEveryObjectOfTheKindOnly) {
  std::set<std::string> packs;
  for (int i = 0; i < 700; ++i) {  // more than one page of most services, every pack directory
    packs.insert(put(ObjectKind::kPack, as_bytes(std::to_string(i))).name);
  }
  const ObjectName snapshot = put(ObjectKind::kSnapshot, as_bytes("snapshot"));
  EXPECT_EQ(names(ObjectKind::kPack), packs);
  EXPECT_EQ(names(ObjectKind::kSnapshot), std::set<std::string>{snapshot.name});
}

TEST_P(StorageContract, ListMayBeUsedToRemoveAndEndsByThrowing) {
  for (int i = 0; i < 40; ++i) {
    put(ObjectKind::kLock, as_bytes(std::to_string(i)));
  }
  int seen = 0;
  EXPECT_THROW(storage_->list(context(), ObjectKind::kLock,
                              [&](const ObjectInfo&) {
                                ++seen;
                                throw std::runtime_error("enough");
                              }),
               std::runtime_error);
  EXPECT_EQ(seen, 1);
  storage_->list(context(), ObjectKind::kLock, [&](const ObjectInfo& object) {
    storage_->remove(context(), {ObjectKind::kLock, object.name});
  });
  EXPECT_TRUE(names(ObjectKind::kLock).empty());
}

TEST_P(StorageContract, ForeignFilesAreIgnored) {
  const ObjectName pack = put(ObjectKind::kPack, as_bytes("pack"));
  const std::string hex = named_by_hash(ObjectKind::kPack, as_bytes("foreign")).name;
  std::string upper = hex;
  std::ranges::transform(upper, upper.begin(), ::toupper);
  // A storage without files of its own cannot be given any: it must show the pack all the same.
  for (const std::string directory : {"keys/", "locks/", "snapshots/", "index/"}) {
    for (const std::string& file :
         {std::string("README"), hex + "-tmp-123", upper, hex.substr(1), hex + "0", "sub/" + hex}) {
      (void)place_->add_foreign(directory + file);
    }
  }
  const std::string own = "data/" + hex.substr(0, 2) + "/";
  for (const std::string& path :
       {"data/" + hex, "data/zz/" + hex, own + "foo", own + hex + "-tmp-9", own + "sub/" + hex,
        "data/" + std::string(hex.starts_with("00") ? "01/" : "00/") + hex,
        std::string("salvor/.hidden"), std::string("salvor/a/name-tmp-42"),
        std::string("salvor/with space"), std::string("elsewhere/") + hex}) {
    (void)place_->add_foreign(path);
  }
  for (const ObjectKind kind : kAllKinds) {
    EXPECT_EQ(names(kind), kind == ObjectKind::kPack ? std::set<std::string>{pack.name}
                                                     : std::set<std::string>{})
        << object_kind_name(kind);
  }
}

// Everybody who died in a put may have left something; what else looks like it is somebody's own.
TEST_P(StorageContract, LeftoversAreFoundByNameAndAgeAndNothingElseIs) {
  const ObjectName pack = put(ObjectKind::kPack, as_bytes("pack"));
  const std::string hex = pack.name;
  const std::string own = "data/" + hex.substr(0, 2) + "/";
  const std::vector<std::string> ours = {"keys/" + hex + "-tmp-1",
                                         "locks/" + hex + "-tmp-22",
                                         "snapshots/" + hex + "-tmp-333",
                                         "index/" + hex + "-tmp-4444",
                                         own + hex + "-tmp-18446744073709551615",
                                         "config-tmp-5",
                                         "salvor/top-tmp-6",
                                         "salvor/journal/a/b.zst-tmp-7"};
  const std::vector<std::string> foreign = {"notes-tmp-1",
                                            "keys/README-tmp-1",
                                            own + "foo-tmp-1",
                                            own + hex + "-tmp-",
                                            own + hex + "-tmp-1x",
                                            own + "sub/" + hex + "-tmp-1",
                                            "data/zz/" + hex + "-tmp-1",
                                            "elsewhere/" + hex + "-tmp-1",
                                            "salvor/.hidden/x-tmp-1",
                                            "salvor/with space-tmp-1"};
  const bool any = place_->has_leftovers();
  for (const auto* paths : {&ours, &foreign}) {
    for (const std::string& path : *paths) {
      EXPECT_TRUE(!any || place_->add_foreign(path));
    }
  }
  constexpr std::chrono::seconds kAll(-1);  // as if they were from a second ago
  const auto found = [&](std::chrono::seconds age) {
    std::set<std::string> paths;
    for (const Leftover& leftover : storage_->leftovers(context(), age)) {
      EXPECT_EQ(leftover.size_bytes, std::string_view("foreign").size());
      paths.insert(leftover.path);
    }
    return paths;
  };
  EXPECT_TRUE(found(kAll).empty()) << "no lock says what time it is there";
  put(ObjectKind::kLock, as_bytes("lock"));
  EXPECT_TRUE(found(std::chrono::hours(1)).empty());
  EXPECT_EQ(found(kAll),
            any ? std::set<std::string>(ours.begin(), ours.end()) : std::set<std::string>{});
  for (const std::string& path : foreign) {
    const std::vector<Leftover> wrong = {{ours.front(), 1}, {path, 1}};
    EXPECT_EQ(code_of([&] { storage_->remove_leftovers(context(), wrong); }), ErrorCode::kFailed)
        << path;
  }
  const std::vector<Leftover> object = {{own + hex, 4}};
  EXPECT_EQ(code_of([&] { storage_->remove_leftovers(context(), object); }), ErrorCode::kFailed);
  EXPECT_EQ(found(kAll).size(), any ? ours.size() : 0U) << "a refusal removes nothing";
  storage_->remove_leftovers(context(), {});
  if (any) {
    storage_->remove_leftovers(context(), storage_->leftovers(context(), kAll));
    EXPECT_TRUE(found(kAll).empty());
    const std::vector<Leftover> gone = {{ours.front(), 1}};
    EXPECT_NO_THROW(storage_->remove_leftovers(context(), gone));
  }
  EXPECT_EQ(as_text(storage_->get(context(), pack).view()), "pack");
  EXPECT_EQ(names(ObjectKind::kLock).size(), 1U);
}

TEST_P(StorageContract, SalvorNamesNest) {
  if (place_->is_rest_server()) {
    const ObjectName object{ObjectKind::kSalvor, "top"};
    EXPECT_EQ(code_of([&] { storage_->put(context(), object, as_bytes("x")); }),
              ErrorCode::kFailed);
    EXPECT_TRUE(names(ObjectKind::kSalvor).empty());
    return;
  }
  const std::set<std::string> wanted = {"top", "a/b", "a/c/d", "journal/s/00/0001-5.zst", "a/c/e"};
  for (const std::string& name : wanted) {
    storage_->put(context(), {ObjectKind::kSalvor, name}, as_bytes(name));
  }
  EXPECT_EQ(names(ObjectKind::kSalvor), wanted);
  for (const std::string& name : wanted) {
    EXPECT_EQ(as_text(storage_->get(context(), {ObjectKind::kSalvor, name}).view()), name);
  }
  storage_->remove(context(), {ObjectKind::kSalvor, "a/c/d"});
  EXPECT_EQ(names(ObjectKind::kSalvor).size(), wanted.size() - 1);
}

TEST_P(StorageContract, ListPrefixFindsWhatBeginsSoAndNothingElse) {
  const auto found = [&](ObjectKind kind, std::string_view prefix) {
    std::multiset<std::string> names;
    storage_->list_prefix(context(), kind, prefix, [&](const ObjectInfo& object) {
      EXPECT_EQ(object.size_bytes, storage_->stat(context(), {kind, object.name})->size_bytes);
      names.insert(object.name);
    });
    return names;
  };
  EXPECT_TRUE(found(ObjectKind::kSalvor, "journal/").empty());
  if (!place_->is_rest_server()) {
    const std::multiset<std::string> wanted = {
        "journal/pg-1/wal/0001", "journal/pg-1/wal/0002",    "journal/pg-1/wal2/0001",
        "journal/pg-12/wal/01",  "journal/pg-1+%",           "evidence/1",
        "journal.json",          "journal/pg-1/wal@deep/a/b"};
    for (const std::string& name : wanted) {
      storage_->put(context(), {ObjectKind::kSalvor, name}, as_bytes(name));
    }
    for (const char* prefix : {"",
                               "j",
                               "journal",
                               "journal/",
                               "journal/pg-1",
                               "journal/pg-1/",
                               "journal/pg-1/wal",
                               "journal/pg-1/wal/",
                               "journal/pg-1/wal/0001",
                               "journal/pg-1/wal/0001/",
                               "journal/pg-1+%",
                               "journal/pg-1/wal@deep/a",
                               "journal.json/",
                               "evidence/1/2/3",
                               "z",
                               "/",
                               "//",
                               "journal//",
                               "..",
                               "../",
                               "journal/../",
                               "./",
                               "journal/pg-1/.",
                               " ",
                               "journal/pg-1/wal?x&y#"}) {
      std::multiset<std::string> expected;
      for (const std::string& name : wanted) {
        if (name.starts_with(prefix)) {
          expected.insert(name);
        }
      }
      EXPECT_EQ(found(ObjectKind::kSalvor, prefix), expected) << prefix;
    }
  }
  for (const ObjectKind kind : kHashedKinds) {
    const std::string one = put(kind, pattern(1000, 1).view()).name;
    const std::string other = put(kind, pattern(1000, 2).view()).name;
    EXPECT_EQ(found(kind, "").size(), 2U);
    for (const size_t length : {1U, 2U, 3U, 10U, 64U}) {
      EXPECT_EQ(found(kind, one.substr(0, length)).count(one), 1U) << length;
      EXPECT_EQ(found(kind, one.substr(0, length)).count(other),
                other.starts_with(one.substr(0, length)) ? 1U : 0U);
    }
    EXPECT_TRUE(found(kind, one + "0").empty());
    EXPECT_TRUE(found(kind, "../").empty());
  }
  storage_->put(context(), {ObjectKind::kConfig, ""}, as_bytes("config"));
  EXPECT_EQ(found(ObjectKind::kConfig, "").size(), 1U);
  EXPECT_TRUE(found(ObjectKind::kConfig, "c").empty());
}

TEST_P(StorageContract, NamesThatAreNotNamesAreRefused) {
  std::vector<ObjectName> bad;
  const std::string hex(64, 'a');
  for (const std::string& name :
       {std::string(), std::string("abc"), hex + "a", std::string(64, 'A'), std::string(64, 'g'),
        "../" + hex.substr(3), hex.substr(0, 63) + "/"}) {
    for (const ObjectKind kind : kHashedKinds) {
      bad.push_back({kind, name});
    }
  }
  for (const std::string& name :
       {std::string(), std::string(".."), std::string("a/../b"), std::string("../config"),
        std::string("/etc/passwd"), std::string("a//b"), std::string("a/"), std::string("."),
        std::string("a/./b"), std::string(".hidden"), std::string("a\0b", 3), std::string("a\\b"),
        std::string("a b"), std::string("x-tmp-1"), std::string("x-tmp-1/y"), std::string(201, 'x'),
        std::string("gr\xc3\xbc\xc3\x9f")}) {
    bad.push_back({ObjectKind::kSalvor, name});
  }
  bad.push_back({ObjectKind::kConfig, "config"});
  for (const ObjectName& object : bad) {
    EXPECT_EQ(code_of([&] { storage_->put(context(), object, as_bytes("x")); }), ErrorCode::kFailed)
        << object.name;
    EXPECT_EQ(code_of([&] { (void)storage_->get(context(), object); }), ErrorCode::kFailed);
    EXPECT_EQ(code_of([&] { storage_->get_range(context(), object, 0, {}); }), ErrorCode::kFailed);
    EXPECT_EQ(code_of([&] { (void)storage_->stat(context(), object); }), ErrorCode::kFailed);
    EXPECT_EQ(code_of([&] { storage_->remove(context(), object); }), ErrorCode::kFailed);
  }
}

TEST_P(StorageContract, StoppedCallsHaveNoEffect) {
  const ObjectName old = put(ObjectKind::kPack, as_bytes("old"));
  const ObjectName fresh = named_by_hash(ObjectKind::kPack, as_bytes("new"));
  storage_->put(context(), {ObjectKind::kConfig, ""}, as_bytes("config"));
  TestContext other;
  other.stop.request_stop();
  const Context stopped = *other;
  Buffer out(3);
  const std::function<void()> calls[] = {
      [&] { storage_->create(stopped); },
      [&] { storage_->put(stopped, fresh, as_bytes("new")); },
      [&] { storage_->replace_config(stopped, as_bytes("x")); },
      [&] { (void)storage_->get(stopped, old); },
      [&] { storage_->get_range(stopped, old, 0, out.bytes()); },
      [&] { (void)storage_->stat(stopped, old); },
      [&] { storage_->list(stopped, ObjectKind::kPack, [](const ObjectInfo&) {}); },
      [&] { storage_->remove(stopped, old); },
      [&] { storage_->remove_many(stopped, std::span<const ObjectName>(&old, 1)); }};
  for (const auto& call : calls) {
    EXPECT_EQ(code_of(call), ErrorCode::kCancelled);
  }
  EXPECT_EQ(names(ObjectKind::kPack), std::set<std::string>{old.name});
  EXPECT_EQ(as_text(storage_->get(context(), {ObjectKind::kConfig, ""}).view()), "config");
}

TEST_P(StorageContract, ListEndsWhenStopped) {
  for (int i = 0; i < 10; ++i) {
    put(ObjectKind::kIndex, as_bytes(std::to_string(i)));
  }
  TestContext other;
  int seen = 0;
  EXPECT_EQ(code_of([&] {
              storage_->list(*other, ObjectKind::kIndex, [&](const ObjectInfo&) {
                ++seen;
                other.stop.request_stop();
              });
            }),
            ErrorCode::kCancelled);
  EXPECT_EQ(seen, 1);
}

// A reader must see nothing or all of it, never a part, by any of the ways to look.
TEST_P(StorageContract, ReadersNeverSeeAPartOfAnObject) {
  if (place_->shows_parts()) {
    return;
  }
  constexpr int kObjects = 30;
  std::vector<Buffer> contents;
  std::vector<ObjectName> objects;
  for (int i = 0; i < kObjects; ++i) {
    contents.push_back(pattern(700'000, static_cast<uint64_t>(i)));
    objects.push_back(named_by_hash(ObjectKind::kPack, contents.back().view()));
  }
  std::atomic<bool> done = false;
  std::atomic<int> wrong = 0;
  std::atomic<int> found = 0;
  const auto read = [&](int which) {
    const auto reader = place_->open();
    TestContext mine;
    while (!done) {
      for (int i = which; i < kObjects; i += 2) {
        const auto info = reader->stat(*mine, objects[static_cast<size_t>(i)]);
        wrong += info && info->size_bytes != 700'000;
        try {
          const Buffer got = reader->get(*mine, objects[static_cast<size_t>(i)]);
          wrong += !std::ranges::equal(got.view(), contents[static_cast<size_t>(i)].view());
          ++found;
        } catch (const Error& error) {
          wrong += error.code() != ErrorCode::kNotFound;
        }
      }
      reader->list(*mine, ObjectKind::kPack,
                   [&](const ObjectInfo& object) { wrong += object.size_bytes != 700'000; });
    }
  };
  {
    std::jthread first(read, 0);
    std::jthread second(read, 1);
    const std::shared_ptr<void> end(nullptr,
                                    [&](void*) { done = true; });  // also of a put that throws
    for (int i = 0; i < kObjects; ++i) {
      storage_->put(context(), objects[static_cast<size_t>(i)],
                    contents[static_cast<size_t>(i)].view());
    }
  }
  EXPECT_EQ(wrong, 0);
  for (const ObjectName& object : objects) {
    EXPECT_TRUE(storage_->stat(context(), object).has_value());
  }
}

TEST_P(StorageContract, ReplacedConfigIsOldOrNewNeverAbsent) {
  const ObjectName config{ObjectKind::kConfig, ""};
  const std::string one(5000, '1');
  const std::string two(9000, '2');
  storage_->put(context(), config, as_bytes(one));
  if (place_->is_rest_server()) {
    return;  // it has to remove the old one first
  }
  std::atomic<bool> done = false;
  std::atomic<int> wrong = 0;
  {
    std::jthread reader([&] {
      const auto handle = place_->open();
      TestContext mine;
      while (!done) {
        try {
          const Buffer got = handle->get(*mine, config);
          wrong += as_text(got.view()) != one && as_text(got.view()) != two;
        } catch (const Error&) {
          ++wrong;
        }
      }
    });
    for (int i = 0; i < 30; ++i) {
      storage_->replace_config(context(), as_bytes(i % 2 == 0 ? two : one));
    }
    done = true;
  }
  EXPECT_EQ(wrong, 0);
}

// Two `init`s at once: one repository, and the loser knows it.
TEST_P(StorageContract, OfTwoWritersOfOneNameOneWins) {
  if (place_->is_rest_server()) {
    return;  // has names with other content only for the config, which it creates exclusively
  }
  for (int round = 0; round < 20; ++round) {
    const ObjectName object{ObjectKind::kSalvor, "race/" + std::to_string(round)};
    std::atomic<int> ready = 0;
    std::array<std::optional<ErrorCode>, 2> outcome;
    {
      std::vector<std::jthread> writers;
      for (size_t me = 0; me < 2; ++me) {
        writers.emplace_back([&, me] {
          const auto handle = place_->open();
          TestContext mine(me + 1);
          const std::string content(10'000, me == 0 ? 'a' : 'b');
          ++ready;
          while (ready < 2) {
            std::this_thread::yield();
          }
          outcome[me] = code_of([&] { handle->put(*mine, object, as_bytes(content)); });
        });
      }
    }
    ASSERT_NE(outcome[0].has_value(), outcome[1].has_value()) << "exactly one must win";
    EXPECT_EQ(outcome[0].has_value() ? outcome[0] : outcome[1], ErrorCode::kFailed);
    const std::string expected(10'000, outcome[0].has_value() ? 'b' : 'a');
    EXPECT_EQ(as_text(storage_->get(context(), object).view()), expected);
  }
}

TEST_P(StorageContract, ManyThreadsMayUseOneHandle) {
  constexpr int kThreads = 4;
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        TestContext mine(static_cast<uint64_t>(t) + 10);
        for (int i = 0; i < 25; ++i) {
          // Half of the objects are every thread's: they all put the same.
          const std::string text = std::to_string(i % 2 == 0 ? i : t * 1000 + i) + " content";
          const ObjectName object = named_by_hash(ObjectKind::kPack, as_bytes(text));
          storage_->put(*mine, object, as_bytes(text));
          Buffer out(text.size());
          storage_->get_range(*mine, object, 0, out.bytes());
          wrong += as_text(out.view()) != text;
          storage_->list(*mine, ObjectKind::kSnapshot, [](const ObjectInfo&) {});
          if (i % 2 == 1) {
            storage_->remove(*mine, object);
          }
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(names(ObjectKind::kPack).size(), 13U);
}

TEST_P(StorageContract, TraitsSayWhereAndHowMany) {
  const StorageTraits traits = storage_->traits();
  EXPECT_FALSE(traits.description.empty());
  EXPECT_GE(traits.connections, 1U);
}

}  // namespace salvor::test
