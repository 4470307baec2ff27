#include "connector/command/stream_source.h"

#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/random.h"

namespace salvor {
namespace {

// Reads like the engine: later, from another place, with failures reported rather than thrown.
class ReadingSink final : public TreeSink {
 public:
  Directory* root() override { return mark(); }
  Directory* open_directory(Directory*, Node added) override {
    directories.push_back(std::move(added));
    return mark();
  }
  void close_directory(Directory*) override {}
  void add_file(Directory*, Node added, std::shared_ptr<FileOpener> opener) override {
    node = std::move(added);
    opener_ = std::move(opener);
  }
  void add_stored(Directory*, Node) override { ADD_FAILURE() << "nothing is stored"; }
  void add_other(Directory*, Node) override { FAIL(); }
  void report_unreadable(const std::string&, const Error&) override { FAIL(); }

  void read() {
    try {
      const std::unique_ptr<ByteReader> reader = opener_->open(node);
      reader->refresh(node);
      std::array<std::byte, 100> buffer;
      while (const size_t got = reader->read(buffer)) {
        content += as_text(ByteView(buffer).first(got));
      }
    } catch (const Error& error) {
      failure = error.message();
    }
  }

  std::vector<Node> directories;
  Node node;
  std::string content;
  std::string failure;

 private:
  Directory* mark() { return reinterpret_cast<Directory*>(this); }
  std::shared_ptr<FileOpener> opener_;
};

struct Fixture {
  NullEventSink events;
  SystemClock clock;
  SystemRandom random;
  std::stop_source stop;
  ReadingSink sink;
  Context context{.stop = stop.get_token(), .events = events, .clock = clock, .random = random};
  const StreamOptions options{
      .file_name = "dumps/db.sql", .time = {1'700'000'000, 5, 0}, .uid = 7, .gid = 8};
};

TEST(CommandSource, OutputBecomesAFile) {
  Fixture f;
  CommandSource source(f.options, {"printf", "%s", "rows"});
  EXPECT_EQ(source.paths(), std::vector<std::string>{"/dumps/db.sql"});
  source.stream_into(f.context, f.sink);
  f.sink.read();
  source.finish(f.context);
  EXPECT_EQ(f.sink.content, "rows");
  EXPECT_EQ(f.sink.node.name, "db.sql");
  EXPECT_EQ(f.sink.node.mode, 0644U);
  EXPECT_EQ(f.sink.node.uid, 7U);
  EXPECT_EQ(f.sink.node.mtime, f.options.time);
  ASSERT_EQ(f.sink.directories.size(), 1U);
  EXPECT_EQ(f.sink.directories[0].name, "dumps");
  EXPECT_EQ(f.sink.directories[0].mode, go_mode::kDir | 0755U);
}

TEST(CommandSource, AFailingCommandMakesNoSnapshot) {
  for (const char* script : {"echo partial; exit 1", "kill -TERM $$", "exit 0"}) {
    Fixture f;
    CommandSource source(f.options, {"sh", "-c", script});
    source.stream_into(f.context, f.sink);
    f.sink.read();
    EXPECT_THROW(source.finish(f.context), Error) << script;
  }
  Fixture f;
  CommandSource source(f.options, {"/nonexistent/command"});
  source.stream_into(f.context, f.sink);
  f.sink.read();
  EXPECT_THROW(source.finish(f.context), Error);
  EXPECT_THROW(CommandSource(f.options, {}), Error);
}

TEST(CommandSource, AStreamThatNobodyReadIsNotABackup) {
  Fixture f;
  CommandSource source(f.options, {"echo", "x"});
  source.stream_into(f.context, f.sink);
  EXPECT_THROW(source.finish(f.context), Error);
}

TEST(CommandSource, StoppingEndsTheCommand) {
  Fixture f;
  CommandSource source(f.options, {"sh", "-c", "echo begin; exec sleep 60"});
  source.stream_into(f.context, f.sink);
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    f.stop.request_stop();
  });
  f.sink.read();
  EXPECT_EQ(f.sink.failure, "interrupted");
  EXPECT_THROW(source.finish(f.context), Error);
}

TEST(StdinSource, ReadsTheDescriptor) {
  Fixture f;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const UniqueFd in(ends[0]);
  UniqueFd out(ends[1]);
  write_full(out.get(), as_bytes("from a pipe"), "pipe");
  out.reset();
  StdinSource source({.file_name = "stdin"}, in.get());
  source.stream_into(f.context, f.sink);
  f.sink.read();
  source.finish(f.context);
  EXPECT_EQ(f.sink.content, "from a pipe");
  EXPECT_TRUE(f.sink.directories.empty());
  EXPECT_THROW(StdinSource({.file_name = "/"}), Error);
}

TEST(StdinSource, NothingIsAFailureAndSilenceCanBeInterrupted) {
  Fixture f;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const UniqueFd in(ends[0]);
  UniqueFd out(ends[1]);
  StdinSource source({}, in.get());
  source.stream_into(f.context, f.sink);
  std::jthread stopper([&] { f.stop.request_stop(); });
  f.sink.read();
  EXPECT_EQ(f.sink.failure, "interrupted");
  out.reset();
  Fixture empty;
  StdinSource nothing({}, in.get());
  nothing.stream_into(empty.context, empty.sink);
  empty.sink.read();
  EXPECT_THROW(nothing.finish(empty.context), Error);
}

}  // namespace
}  // namespace salvor
