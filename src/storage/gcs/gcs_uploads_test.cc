#include "storage/gcs/gcs_uploads.h"

#include <array>
#include <map>
#include <mutex>

#include <gtest/gtest.h>

#include "base/format.h"
#include "crypto/crc32c.h"
#include "storage/decorators/retry_storage.h"
#include "storage/gcs/gcs_storage.h"
#include "support/http_server.h"
#include "support/storage_helpers.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

// Uploads as Google documents them: a session keeps what has arrived of a piece, also when the
// connection breaks in the middle of it. (The emulator knows no sessions that are asked for their
// state.)
class UploadServer {
 public:
  // What happens to the n-th upload request (from 1), sessions begun and asked not counted.
  enum class Fate : uint8_t {
    kGood,
    kHalfArrives,  // and then the server fails
    kReplyIsLost,
    kSessionEnds,  // the server has forgotten it
    kSessionLost,  // the server fails, and has forgotten it when it is asked
  };

  UploadServer() : server_([this](const ServedRequest& request) { return answer(request); }) {}

  [[nodiscard]] std::string url() const { return server_.url(""); }
  std::map<unsigned, Fate> fates;
  std::string stored;     // the object, once complete
  uint64_t received = 0;  // content bytes, all requests together
  unsigned sessions = 0;
  unsigned uploads = 0;

 private:
  ServedReply answer(const ServedRequest& request) {
    const std::scoped_lock lock(mutex_);
    if (request.method == "GET") {
      return stored.empty() ? ServedReply{.status = 404} : done();
    }
    if (request.target.find("uploadType=multipart") != std::string::npos) {
      return at_once(request);
    }
    if (request.target.find("uploadType=resumable") != std::string::npos) {
      if (!stored.empty()) {
        return {.status = 412};
      }
      have_.clear();
      const std::string id = std::to_string(++sessions);
      return {.headers = {{"Location", "https://elsewhere.example.com/session/" + id}}};
    }
    if (request.target != "/session/" + std::to_string(sessions)) {
      return {.status = request.target.starts_with("/session/") ? 410 : 404};
    }
    return piece(request);
  }

  ServedReply at_once(const ServedRequest& request) {
    const size_t begin = request.body.find("octet-stream\r\n\r\n", 200) + 16;
    const std::string content = request.body.substr(begin, request.body.rfind("\r\n--") - begin);
    received += content.size();
    const Fate what = fate();
    if (what == Fate::kHalfArrives) {
      return {.status = 500};
    }
    stored = content;
    return what == Fate::kReplyIsLost ? lost(done()) : done();
  }

  ServedReply piece(const ServedRequest& request) {
    const std::string& range = request.headers.at("content-range");
    if (range.starts_with("bytes */")) {
      return !stored.empty() ? done() : incomplete();
    }
    uint64_t begin = 0;
    uint64_t end = 0;
    uint64_t total = 0;
    EXPECT_EQ(std::sscanf(range.c_str(), "bytes %lu-%lu/%lu", &begin, &end, &total), 3) << range;
    EXPECT_EQ(end - begin + 1, request.body.size());
    EXPECT_EQ(begin, have_.size()) << "a piece that does not follow";
    const Fate what = fate();
    if (what == Fate::kSessionEnds) {
      ++sessions;
      return {.status = 410};
    }
    if (what == Fate::kSessionLost) {
      ++sessions;
      return {.status = 500};
    }
    have_ += request.body.substr(
        0, what == Fate::kHalfArrives ? request.body.size() / 2 : request.body.size());
    received += request.body.size();
    if (have_.size() == total) {
      stored = have_;
    }
    if (what == Fate::kHalfArrives) {
      return {.status = 500};
    }
    ServedReply reply = stored.empty() ? incomplete() : done();
    return what == Fate::kReplyIsLost ? lost(std::move(reply)) : reply;
  }

  Fate fate() {
    const auto found = fates.find(++uploads);
    return found == fates.end() ? Fate::kGood : found->second;
  }
  static ServedReply lost(ServedReply reply) {
    reply.cut_after = 3;
    return reply;
  }
  [[nodiscard]] ServedReply incomplete() const {
    ServedReply reply{.status = 308};
    if (!have_.empty()) {
      reply.headers["Range"] = "bytes=0-" + std::to_string(have_.size() - 1);
    }
    return reply;
  }
  [[nodiscard]] ServedReply done() const {
    return {.body = R"({"size":")" + std::to_string(stored.size()) + R"(","crc32c":")" + checksum +
                    R"("})"};
  }

 public:
  std::string checksum;

 private:
  std::mutex mutex_;
  std::string have_;
  HttpServer server_;
};

class GcsUploadsTest : public testing::Test {
 protected:
  using Fate = UploadServer::Fate;

  void put(std::map<unsigned, Fate> fates, uint64_t session_bytes = uint64_t{64} << 20) {
    server_.fates = std::move(fates);
    const uint32_t crc = crc32c(content_.view());
    std::array<std::byte, 4> big_endian{};
    for (size_t i = 0; i < big_endian.size(); ++i) {
      big_endian[i] = static_cast<std::byte>(crc >> (24 - 8 * i));
    }
    server_.checksum = to_base64(big_endian);
    StorageOptions options;
    options.http.proxy = "";
    options.extended = {{"gs.endpoint", server_.url()}, {"gs.unsafe-anonymous-auth", "true"}};
    options.environment = [](const std::string&) { return std::nullopt; };
    GcsSettings settings = gcs_settings("bucket:/p", options);
    settings.session_bytes = session_bytes;
    settings.piece_bytes = size_t{1} << 20;
    RetryStorage storage(open_gcs_storage(settings, options),
                         {.wait = [](const Context&, std::chrono::milliseconds) {}});
    // In parts whose borders are not those of the pieces.
    const std::vector<ByteView> parts{content_.view().first(700'000),
                                      content_.view().subspan(700'000)};
    storage.put(*context_, named_by_hash(ObjectKind::kPack, content_.view()), parts);
    EXPECT_TRUE(server_.stored == as_text(content_.view()));
  }

  TestContext context_;
  UploadServer server_;
  const Buffer content_ = pattern(3'000'000, 5);
};

TEST_F(GcsUploadsTest, OneRequestWhenNothingBreaks) {
  put({});
  EXPECT_EQ(server_.sessions, 0U);
  EXPECT_EQ(server_.received, content_.size());
}

TEST_F(GcsUploadsTest, WhatIsLargeIsSentInPieces) {
  put({}, 1'000'000);
  EXPECT_EQ(server_.sessions, 1U);
  EXPECT_EQ(server_.received, content_.size());
  EXPECT_EQ(server_.uploads, 3U);
}

TEST_F(GcsUploadsTest, ACutUploadGoesOnWhereItWas) {
  // In one request, then in a session whose second piece is cut twice.
  put({{1, Fate::kHalfArrives}, {3, Fate::kHalfArrives}, {4, Fate::kHalfArrives}});
  EXPECT_EQ(server_.sessions, 1U);
  // The first request, and in the session what had not arrived of two pieces: not the whole again.
  EXPECT_EQ(server_.received, 2 * content_.size() + (size_t{1} << 20));
}

TEST_F(GcsUploadsTest, ALostReplyIsRecognised) {
  put({{3, Fate::kReplyIsLost}}, 1'000'000);  // the last piece
  EXPECT_EQ(server_.received, content_.size());
  EXPECT_EQ(server_.sessions, 1U);
}

TEST_F(GcsUploadsTest, ALostReplyToTheOnlyRequestIsNoSecondObject) {
  put({{1, Fate::kReplyIsLost}});
  EXPECT_EQ(server_.received, content_.size());
}

TEST_F(GcsUploadsTest, ASessionThatIsGoneIsBegunAnew) {
  put({{2, Fate::kSessionEnds}}, 1'000'000);
  EXPECT_EQ(server_.uploads, 5U);
}

TEST_F(GcsUploadsTest, ASessionThatIsGoneWhenAskedIsBegunAnew) {
  put({{2, Fate::kSessionLost}}, 1'000'000);
  EXPECT_EQ(server_.uploads, 5U);  // two pieces, and all three again
}

}  // namespace
}  // namespace salvor::test
