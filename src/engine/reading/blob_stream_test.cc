#include "engine/reading/blob_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/small_repository.h"

namespace salvor {
namespace {

using test::SmallRepository;
using test::some_content;

class BlobStreams : public ::testing::Test {
 protected:
  BlobStreams() {
    for (uint64_t i = 0; i < 40; ++i) {
      content_.push_back(some_content(i, 100 + i * 37));
      ids_.push_back(repository_.store(BlobType::kData, content_.back()));
    }
    repository_.repository().load_index(repository_.context());
  }

  static std::string all(BlobStream& stream) {
    std::string text;
    for (ByteView bytes = stream.next(); !bytes.empty(); bytes = stream.next()) {
      text += as_text(bytes);
    }
    return text;
  }
  [[nodiscard]] std::string joined(size_t from, size_t to) const {
    std::string text;
    for (size_t i = from; i < to; ++i) {
      text += content_[i];
    }
    return text;
  }

  SmallRepository repository_;
  std::vector<std::string> content_;
  std::vector<BlobId> ids_;
};

TEST_F(BlobStreams, HandsOutBlobsInOrderWhateverFinishesFirst) {
  for (const unsigned threads : {1U, 4U}) {
    BlobStream stream(repository_.context(), repository_.repository(), threads);
    EXPECT_TRUE(stream.next().empty());  // nothing begun
    stream.start(ids_);
    EXPECT_EQ(all(stream), joined(0, 40));
    EXPECT_TRUE(stream.next().empty());
  }
}

TEST_F(BlobStreams, AnotherFileDropsWhatWasLeftOfTheOneBefore) {
  BlobStream stream(repository_.context(), repository_.repository(), 2);
  stream.start(std::span(ids_).first(20));
  EXPECT_EQ(as_text(stream.next()), content_[0]);
  stream.start(std::span(ids_).subspan(30));
  EXPECT_EQ(all(stream), joined(30, 40));
  stream.start({});
  EXPECT_TRUE(stream.next().empty());
}

// A blob without content in the middle must not look like the end: a dump would be cut short.
TEST_F(BlobStreams, AnEmptyBlobIsNotTheEnd) {
  const BlobId empty = repository_.store(BlobType::kData, "");
  repository_.repository().load_index(repository_.context());
  const std::vector<BlobId> ids{empty, ids_[0], empty, empty, ids_[1], empty};
  BlobStream stream(repository_.context(), repository_.repository(), 2);
  stream.start(ids);
  EXPECT_EQ(all(stream), joined(0, 2));
}

TEST_F(BlobStreams, ADamagedBlobIsToldWhereItComesAndTheNextFileIsRead) {
  const BlobId gone(sha256(as_bytes(std::string_view("gone"))));
  const std::vector<BlobId> ids{ids_[0], gone, ids_[1]};
  BlobStream stream(repository_.context(), repository_.repository(), 2);
  stream.start(ids);
  EXPECT_EQ(as_text(stream.next()), content_[0]);
  EXPECT_THROW((void)stream.next(), Error);
  stream.start(std::span(ids_).first(3));
  EXPECT_EQ(all(stream), joined(0, 3));
}

TEST_F(BlobStreams, AStoppedRunEnds) {
  BlobStream stream(repository_.context(), repository_.repository(), 1);
  repository_.test_context().stop.request_stop();
  try {
    stream.start(ids_);
    (void)all(stream);
    FAIL() << "it went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
}

}  // namespace
}  // namespace salvor
