#include "repo/journal.h"

#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/sha256.h"
#include "support/errors.h"
#include "support/small_repository.h"

namespace salvor {
namespace {

using test::code_of;
using testing::ElementsAre;

class JournalTest : public testing::Test {
 protected:
  static std::string content(size_t size, char seed) {
    std::string text;
    for (size_t i = 0; text.size() < size; ++i) {
      text += std::to_string(i * 7919) + seed;
    }
    return text;
  }
  [[nodiscard]] std::string got(std::string_view position) const {
    return std::string(as_text(journal_.get(context_, position).view()));
  }

  test::SmallRepository small_;
  const Context context_ = small_.context();
  const Journal journal_{small_.repository(), "postgresql-1", "wal"};
};

TEST_F(JournalTest, GivesBackWhatWasPutAlsoAfterReopening) {
  std::string noise(100'000, '\0');
  SeededRandom(1).fill(std::as_writable_bytes(std::span(noise)));
  for (const std::string& text : {std::string(), content(1'000'000, 'x'), noise}) {
    const std::string position = "p" + std::to_string(text.size());
    EXPECT_EQ(journal_.put(context_, position, as_bytes(text)), JournalPut::kStored);
    EXPECT_EQ(got(position), text);
    const auto again = small_.reopen();
    EXPECT_EQ(as_text(Journal(*again, "postgresql-1", "wal").get(context_, position).view()), text);
  }
}

TEST_F(JournalTest, TheSameAgainIsFineAnotherContentIsRefused) {
  journal_.put(context_, "a", as_bytes(content(5000, 'x')));
  EXPECT_EQ(journal_.put(context_, "a", as_bytes(content(5000, 'x'))), JournalPut::kExisted);
  EXPECT_EQ(code_of([&] { journal_.put(context_, "a", as_bytes(content(5000, 'y'))); }),
            ErrorCode::kFailed);
  EXPECT_THROW(journal_.put(context_, "a", as_bytes(content(5000, 'y'))), JournalConflict);
  EXPECT_EQ(got("a"), content(5000, 'x'));
}

TEST_F(JournalTest, AnObjectUnderAnothersNameIsFoundOut) {
  journal_.put(context_, "a", as_bytes("one"));
  journal_.put(context_, "b", as_bytes("two"));
  const ObjectName a{ObjectKind::kSalvor, "journal/postgresql-1/wal/a"};
  const ObjectName b{ObjectKind::kSalvor, "journal/postgresql-1/wal/b"};
  const Buffer stolen = small_.storage().get(context_, b);
  small_.storage().remove(context_, a);
  small_.storage().put(context_, a, stolen.view());
  EXPECT_EQ(code_of([&] { static_cast<void>(journal_.get(context_, "a")); }), ErrorCode::kDamaged);
}

TEST_F(JournalTest, OneWrongBitAnywhereIsFoundOut) {
  journal_.put(context_, "a", as_bytes(content(3000, 'x')));
  const ObjectName a{ObjectKind::kSalvor, "journal/postgresql-1/wal/a"};
  const Buffer good = small_.storage().get(context_, a);
  for (size_t place = 0; place < good.size(); place += 61) {
    Buffer bad = Buffer::copy_of(good.view());
    bad.data()[place] ^= std::byte{0x10};
    small_.storage().remove(context_, a);
    small_.storage().put(context_, a, bad.view());
    EXPECT_EQ(code_of([&] { static_cast<void>(journal_.get(context_, "a")); }), ErrorCode::kDamaged)
        << place;
  }
}

// What opens with the key may still come from a program that errs: the layout is checked, field by
// field. It is on disk, so it is written out here.
TEST_F(JournalTest, WhatDecryptsIsStillLookedAt) {
  const std::string name = "journal/postgresql-1/wal/a";
  const ObjectName object{ObjectKind::kSalvor, name};
  const std::string text = "the content";
  struct Parts {
    std::string_view magic = "SJ01";
    uint32_t flags = 0;
    uint64_t size = 11;
    Digest hash = sha256(as_bytes("the content"));
    uint32_t name_length = 26;
    std::string payload = "the content";
  };
  const auto stored = [&](const Parts& parts) {
    Buffer plain;
    plain.append(parts.magic);
    store_u32le(plain.extend(4).data(), parts.flags);
    std::memcpy(plain.extend(8).data(), &parts.size, 8);
    plain.append(ByteView(parts.hash));
    store_u32le(plain.extend(4).data(), parts.name_length);
    plain.append(name);
    plain.append(parts.payload);
    small_.storage().remove(context_, object);
    small_.storage().put(context_, object,
                         small_.repository().make_sealer().seal(plain.view()).view());
  };
  stored({});
  EXPECT_EQ(got("a"), text);

  const auto message = [&](const Parts& parts) {
    stored(parts);
    try {
      static_cast<void>(journal_.get(context_, "a"));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kDamaged);
      return error.message();
    }
    return std::string("it was accepted");
  };
  const std::string damaged = "journal object " + name + " is damaged: ";
  EXPECT_EQ(message({.magic = "SJ02"}), damaged + "it is not one");
  EXPECT_EQ(message({.size = (uint64_t{1} << 30) + 1}), damaged + "its lengths are impossible");
  EXPECT_EQ(message({.name_length = 38}), damaged + "its lengths are impossible");
  EXPECT_EQ(message({.name_length = 25}), damaged + "it is another object under this name");
  EXPECT_EQ(message({.flags = 1}), damaged + "it cannot be decompressed");
  EXPECT_EQ(message({.size = 10}), damaged + "its content has another hash");
  EXPECT_EQ(message({.payload = "the contents"}), damaged + "its content has another hash");
  EXPECT_EQ(message({.payload = "the Content"}), damaged + "its content has another hash");
}

TEST_F(JournalTest, ADirectoryThatIsNoLongerARepositoryTakesNothing) {
  small_.storage().remove(context_, {ObjectKind::kConfig, ""});
  EXPECT_EQ(code_of([&] { journal_.put(context_, "a", as_bytes("1")); }), ErrorCode::kUnreachable);
  EXPECT_FALSE(journal_.contains(context_, "a"));
}

// "Another content" must not be said of a storage that is away: who hears it may stop trying.
TEST_F(JournalTest, OnlyAnotherContentIsAConflict) {
  small_.storage().remove(context_, {ObjectKind::kConfig, ""});
  try {
    journal_.put(context_, "a", as_bytes("1"));
    ADD_FAILURE() << "it was stored";
  } catch (const Error& error) {
    EXPECT_EQ(dynamic_cast<const JournalConflict*>(&error), nullptr);
  }
}

TEST_F(JournalTest, AbsentIsNotFound) {
  EXPECT_EQ(code_of([&] { static_cast<void>(journal_.get(context_, "a")); }), ErrorCode::kNotFound);
  EXPECT_FALSE(journal_.contains(context_, "a"));
}

TEST_F(JournalTest, ListsItsOwnStreamInOrder) {
  const Journal other(small_.repository(), "postgresql-12", "wal");
  other.put(context_, "x", as_bytes("1"));
  Journal(small_.repository(), "postgresql-1", "wall").put(context_, "y", as_bytes("1"));
  for (const char* position : {"c", "a", "b"}) {
    journal_.put(context_, position, as_bytes("1"));
  }
  const std::vector<std::string> gone{"b", "absent"};
  journal_.remove(context_, gone);
  std::vector<std::string> positions;
  for (const JournalEntry& entry : journal_.list(context_)) {
    positions.push_back(entry.position);
  }
  EXPECT_THAT(positions, ElementsAre("a", "c"));
}

TEST_F(JournalTest, NamesThatAreNoneAreRefused) {
  EXPECT_THROW(Journal(small_.repository(), "../x", "wal"), Error);
  EXPECT_THROW(journal_.put(context_, "../a", as_bytes("1")), Error);
}

}  // namespace
}  // namespace salvor
