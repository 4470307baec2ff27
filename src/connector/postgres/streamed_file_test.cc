#include "connector/postgres/streamed_file.h"

#include <thread>

#include <gtest/gtest.h>

namespace salvor::postgres {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

std::string read_all(ByteReader& reader) {
  std::string all;
  Buffer space(100'000);
  while (const size_t got = reader.read(space.bytes())) {
    all += as_text(space.view(0, got));
  }
  return all;
}

TEST(StreamedFile, TheReaderGetsWhatTheStreamWroteAlthoughTheQueueIsShort) {
  const auto file = std::make_shared<StreamedFile>("/f", StreamedFile::make_pool());
  std::string content;
  for (size_t i = 0; i < 20 * kMiB / 8; ++i) {
    content += "12345678";
    content[content.size() - 1] = static_cast<char>(i);
  }
  std::jthread writer([&] {
    for (size_t at = 0; at < content.size(); at += 77'777) {
      file->write(as_bytes(std::string_view(content).substr(at, 77'777)), {});
    }
    file->finish({});
  });
  EXPECT_EQ(read_all(*file->open({})), content);
}

TEST(StreamedFile, ABrokenStreamIsNotAnEnd) {
  const auto file = std::make_shared<StreamedFile>("/f", StreamedFile::make_pool());
  file->write(as_bytes(std::string(kMiB, 'x')), {});
  file->fail();
  const auto reader = file->open({});
  EXPECT_THROW(static_cast<void>(read_all(*reader)), Error);
}

TEST(StreamedFile, AReaderThatGivesUpDoesNotHoldTheStream) {
  const auto file = std::make_shared<StreamedFile>("/f", StreamedFile::make_pool());
  file->open({}).reset();
  file->write(as_bytes(std::string(30 * kMiB, 'x')), {});
  file->finish({});
}

TEST(StreamedFile, AStoppedRunDoesNotWaitForAReader) {
  const auto file = std::make_shared<StreamedFile>("/f", StreamedFile::make_pool());
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop.request_stop();
  });
  try {
    file->write(as_bytes(std::string(30 * kMiB, 'x')), stop.get_token());
    FAIL() << "nobody has read it";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
}

}  // namespace
}  // namespace salvor::postgres
