#include "storage/decorators/fault_storage.h"

#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "storage/memory_storage.h"
#include "support/storage_helpers.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

class Faults : public testing::Test {
 protected:
  ErrorCode put_code(std::string_view content) {
    return code_of([&] { storage_.put(*context_, name(content), as_bytes(content)); })
        .value_or(ErrorCode{});
  }
  static ObjectName name(std::string_view content) {
    return named_by_hash(ObjectKind::kPack, as_bytes(content));
  }
  bool present(std::string_view content) {
    return base_->stat(*context_, name(content)).has_value();
  }

  TestContext context_;
  std::unique_ptr<Storage> base_ = make_memory_storage();
  FaultStorage storage_{borrow_storage(*base_)};
};

TEST_F(Faults, HitTheNthMatchingCallAndTheNextOnes) {
  storage_.add({.call = StorageCall::kPut, .nth = 2, .count = 2, .code = ErrorCode::kPermission});
  EXPECT_NO_THROW(storage_.put(*context_, name("a"), as_bytes("a")));
  (void)storage_.stat(*context_, name("a"));  // does not count
  EXPECT_EQ(put_code("b"), ErrorCode::kPermission);
  EXPECT_EQ(put_code("c"), ErrorCode::kPermission);
  EXPECT_NO_THROW(storage_.put(*context_, name("d"), as_bytes("d")));
  EXPECT_FALSE(present("b"));
  EXPECT_TRUE(present("d"));
  EXPECT_EQ(storage_.faults_hit(), 2U);
  EXPECT_EQ(storage_.calls(StorageCall::kPut), 4U);
}

TEST_F(Faults, KindsAreToldApartAndForeverIsForever) {
  storage_.add({.kind = ObjectKind::kPack, .count = Fault::kForever});
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(put_code("x"), ErrorCode::kUnreachable);
  }
  EXPECT_NO_THROW(storage_.put(*context_, named_by_hash(ObjectKind::kIndex, {}), ByteView()));
  storage_.clear();
  EXPECT_NO_THROW(storage_.put(*context_, name("x"), as_bytes("x")));
}

TEST_F(Faults, ALostReplyHasHappened) {
  storage_.add({.call = StorageCall::kPut, .effect = FaultEffect::kLoseReply});
  EXPECT_EQ(put_code("content"), ErrorCode::kUnreachable);
  EXPECT_TRUE(present("content"));
  EXPECT_NO_THROW(storage_.put(*context_, name("content"), as_bytes("content")));  // the retry
  storage_.add({.call = StorageCall::kRemove, .effect = FaultEffect::kLoseReply});
  EXPECT_EQ(code_of([&] { storage_.remove(*context_, name("content")); }), ErrorCode::kUnreachable);
  EXPECT_FALSE(present("content"));
}

TEST_F(Faults, ATornWriteLeavesHalf) {
  storage_.add({.call = StorageCall::kPut, .effect = FaultEffect::kTearWrite});
  EXPECT_EQ(put_code("12345678"), ErrorCode::kUnreachable);
  EXPECT_EQ(as_text(base_->get(*context_, name("12345678")).view()), "1234");
}

TEST_F(Faults, FlippedBitsGoUnnoticedHere) {
  storage_.put(*context_, name("aaaa"), as_bytes("aaaa"));
  storage_.add({.call = StorageCall::kGet, .effect = FaultEffect::kFlipBit});
  EXPECT_EQ(as_text(storage_.get(*context_, name("aaaa"), 100).view()), "aa`a");
  EXPECT_EQ(as_text(storage_.get(*context_, name("aaaa"), 100).view()), "aaaa");
  storage_.add({.call = StorageCall::kPut, .effect = FaultEffect::kFlipBit});
  storage_.put(*context_, name("bbbb"), as_bytes("bbbb"));
  EXPECT_EQ(as_text(base_->get(*context_, name("bbbb")).view()), "bbcb");
}

TEST_F(Faults, SpaceRunsOutAndComesBack) {
  storage_.set_free_bytes(10);
  EXPECT_NO_THROW(storage_.put(*context_, name("123456"), as_bytes("123456")));
  EXPECT_EQ(put_code("abcdef"), ErrorCode::kStorageFull);
  EXPECT_FALSE(present("abcdef"));
  EXPECT_NO_THROW(storage_.put(*context_, name("123456"), as_bytes("123456")));  // there already
  storage_.remove(*context_, name("123456"));
  EXPECT_NO_THROW(storage_.put(*context_, name("abcdef"), as_bytes("abcdef")));
}

TEST_F(Faults, ADelayEndsWhenStopped) {
  using namespace std::chrono_literals;
  storage_.add({.effect = FaultEffect::kDelay, .delay = 20ms});
  const auto start = std::chrono::steady_clock::now();
  (void)storage_.stat(*context_, name("x"));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
  storage_.add({.effect = FaultEffect::kDelay, .delay = 1h});
  const std::jthread stopper([&] {
    std::this_thread::sleep_for(10ms);
    context_.stop.request_stop();
  });
  EXPECT_EQ(code_of([&] { (void)storage_.stat(*context_, name("x")); }), ErrorCode::kCancelled);
}

}  // namespace
}  // namespace salvor::test
