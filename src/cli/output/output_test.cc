// Text, tables, JSON, progress and the terminal itself.
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/suggest.h"
#include "cli/output/event_printer.h"
#include "cli/output/json_writer.h"
#include "cli/output/progress.h"
#include "cli/output/table.h"
#include "cli/output/terminal.h"
#include "cli/output/text.h"

namespace salvor::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

TEST(Text, WidthCountsColumnsNotBytes) {
  EXPECT_EQ(display_width("abc"), 3U);
  EXPECT_EQ(display_width("äöü"), 3U);
  EXPECT_EQ(display_width("日本"), 4U);
  EXPECT_EQ(display_width("e\u0301"), 1U);
  EXPECT_EQ(display_width("😀"), 2U);
  EXPECT_EQ(display_width("\xff\xc3"), 2U);
}

TEST(Text, TruncatesAtColumns) {
  EXPECT_EQ(truncate_to_width("abcdef", 6), "abcdef");
  EXPECT_EQ(truncate_to_width("abcdef", 4), "abc…");
  EXPECT_EQ(truncate_to_width("日本語", 5), "日本…");
  EXPECT_EQ(truncate_to_width("日本語", 4), "日…");
  EXPECT_EQ(truncate_to_width("abc", 0), "");
  EXPECT_EQ(truncate_front_to_width("/long/path/file", 6), "…/file");
}

TEST(Text, WrapsAtSpacesAndKeepsIndentedLines) {
  EXPECT_THAT(wrap("one two three", 7), ElementsAre("one two", "three"));
  EXPECT_THAT(wrap("incomprehensible word", 5), ElementsAre("incomprehensible", "word"));
  EXPECT_EQ(wrap_paragraphs("a b c\nd\n\n  keep   this\ne", 3), "a b\nc d\n\n  keep   this\ne\n");
}

// " b" would be another tag than "b": forget --keep-tag b, which reads lists so, would not keep it.
TEST(Text, ListsAreReadAsResticReadsTags) {
  EXPECT_THAT(split_list({"a, b", " c\t", "", " , "}), ElementsAre("a", "b", "c"));
}

TEST(Text, SuggestsWhatIsNear) {
  const std::vector<std::string> names{"snapshots", "stats", "restore", "repair", "ls"};
  EXPECT_THAT(suggestions("snapshot", names), ElementsAre("snapshots"));
  EXPECT_THAT(suggestions("restroe", names), ElementsAre("restore"));
  EXPECT_THAT(suggestions("sl", names), ElementsAre("ls"));
  EXPECT_THAT(suggestions("frobnicate", names), IsEmpty());
  EXPECT_THAT(suggestions("", names), IsEmpty());
  EXPECT_THAT(suggestions(std::string(10000, 'x'), names), IsEmpty());
}

TEST(Table, AlignsByWidthAndSpreadsLines) {
  Table table;
  table.add_column("Name");
  table.add_column("N", Table::Align::kRight);
  table.add_row({"日本", "1"});
  table.add_row({"a\nb", "100"});
  table.add_footer("2 rows");
  EXPECT_EQ(table.text(),
            "Name    N\n"
            "---------\n"
            "日本    1\n"
            "a     100\n"
            "b\n"
            "---------\n"
            "2 rows\n");
}

TEST(Json, WritesNestedValuesInOrder) {
  JsonWriter json;
  json.begin_message("status").field("n", 1).field("neg", -2).field("big", UINT64_MAX);
  json.field("f", 0.5).field("yes", true).key("list").begin_array().value("a").null().end_array();
  json.key("o").begin_object().end_object().field("t", std::vector<std::string>{"x", "y"});
  json.end_object();
  EXPECT_EQ(
      json.text(),
      R"({"message_type":"status","salvor_format":1,"n":1,"neg":-2,"big":18446744073709551615,)"
      R"("f":0.5,"yes":true,"list":["a",null],"o":{},"t":["x","y"]})");
}

TEST(Json, EscapesWhatJsonAndTerminalsCannotTake) {
  JsonWriter json;
  json.value(std::string_view("q\" \\ \n \x1b \xff é", 13));
  EXPECT_EQ(json.text().find('\x1b'), std::string::npos);
  EXPECT_THAT(json.text(), HasSubstr("\\n"));
  EXPECT_THAT(json.text(), HasSubstr("\\u001b"));
  EXPECT_THAT(json.text(), HasSubstr("\\ufffd"));
  JsonWriter nan;
  EXPECT_EQ(nan.value(std::nan("")).text(), "null");
}

TEST(Progress, RateIsSmoothedAndRemainingFollows) {
  RateMeter rate;
  MonotonicTime now{};
  EXPECT_FALSE(rate.remaining(100));
  for (uint64_t second = 0; second <= 60; ++second) {
    rate.update(now, second * 1000);
    now += std::chrono::seconds(1);
  }
  EXPECT_NEAR(rate.bytes_per_second(), 1000, 1);
  EXPECT_EQ(rate.remaining(10000), std::chrono::seconds(10));
  rate.update(now, 60 * 1000);  // one idle second does not make it zero
  EXPECT_GT(rate.bytes_per_second(), 800);
  EXPECT_FALSE(rate.remaining(0));
}

TEST(Progress, LinesShowWhatIsKnown) {
  RateMeter rate;
  EXPECT_THAT(progress_lines({.bytes_done = 512,
                              .bytes_total = 2048,
                              .files_done = 1,
                              .files_total = 4,
                              .errors = 1,
                              .current_items = {"/a\nb"}},
                             rate, std::chrono::seconds(83)),
              ElementsAre("[1:23] 25.00%  1 / 4 files  512 B / 2.000 KiB  1 error", "  /a\\x0ab"));
  EXPECT_THAT(progress_lines({.files_done = 1}, rate, std::chrono::seconds(0)),
              ElementsAre("[0:00]  1 file"));
  // A file that grew: never more than all of it.
  EXPECT_THAT(progress_lines({.bytes_done = 4096, .bytes_total = 2048}, rate, {})[0],
              HasSubstr("100.00%"));
}

// A terminal whose two outputs are pipes.
struct Pipes {
  Pipes() {
    int ends[2];
    EXPECT_EQ(::pipe(ends), 0);
    out_read = UniqueFd(ends[0]);
    out_write = UniqueFd(ends[1]);
    EXPECT_EQ(::pipe(ends), 0);
    err_read = UniqueFd(ends[0]);
    err_write = UniqueFd(ends[1]);
  }
  [[nodiscard]] TerminalSettings settings(bool json = false, int verbosity = 1) const {
    return {
        .out_fd = out_write.get(), .err_fd = err_write.get(), .json = json, .verbosity = verbosity};
  }
  static std::string drain(UniqueFd& write_end, UniqueFd& read_end) {
    write_end.reset();
    Buffer bytes(1 << 16);
    const size_t got = read_full(read_end.get(), bytes.bytes(), "pipe");
    return std::string(as_text(bytes.view(0, got)));
  }
  std::string out() { return drain(out_write, out_read); }
  std::string err() { return drain(err_write, err_read); }

  UniqueFd out_read, out_write, err_read, err_write;
};

TEST(Terminal, QuietAndJsonKeepMessagesOut) {
  for (const bool json : {false, true}) {
    Pipes pipes;
    {
      Terminal terminal(pipes.settings(json, 0));
      terminal.message("chatter");
      terminal.print_summary("done");
      terminal.print_line("result");
    }
    EXPECT_EQ(pipes.out(), "result\n");
    EXPECT_EQ(pipes.err(), "");
  }
}

TEST(Terminal, VerbosityLevelsAreResticsOnes) {
  Pipes pipes;
  {
    Terminal terminal(pipes.settings(false, 2));
    terminal.message("one");
    terminal.message_at(2, "two");
    terminal.message_at(3, "three");
  }
  EXPECT_EQ(pipes.err(), "one\ntwo\n");
}

TEST(Terminal, ErrorsAreMadePrintable) {
  Pipes pipes;
  {
    Terminal terminal(pipes.settings());
    terminal.report(Error(ErrorCode::kNotFound, "no \x1b[2J\nfile", "Look \x07."), 24);
    terminal.warn("odd \xff");
  }
  EXPECT_EQ(pipes.err(), "salvor: no \\x1b[2J\nfile\nHINT: Look \\x07.\nwarning: odd \\xff\n");
}

TEST(Terminal, AClosedOutputIsToldApartFromAFullOne) {
  struct sigaction ignore{};
  struct sigaction former{};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, &former);
  Pipes pipes;
  pipes.out_read.reset();
  Terminal terminal(pipes.settings());
  terminal.print_status_json(JsonWriter().begin_object().end_object());  // dropped
  terminal.print_line("x");
  EXPECT_THROW(terminal.flush(), Error);
  EXPECT_TRUE(terminal.output_closed());
  Terminal data(pipes.settings());
  EXPECT_THROW(data.write_output(as_bytes("x")), Error);
  EXPECT_TRUE(data.output_closed()) << "a reader of a dump that goes away is no error either";
  UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  TerminalSettings settings = pipes.settings();
  settings.out_fd = full.get();
  Terminal other(settings);
  other.print_line("x");
  EXPECT_THROW(other.flush(), Error);
  EXPECT_FALSE(other.output_closed());
  ::sigaction(SIGPIPE, &former, nullptr);
}

TEST(Terminal, DataComesAfterWhatWasPrintedBefore) {
  Pipes pipes;
  Terminal terminal(pipes.settings());
  terminal.print("first ");
  terminal.write_output(as_bytes("second"));
  EXPECT_EQ(pipes.out(), "first second");
}

TEST(Terminal, WithoutATerminalThereAreNoEscapes) {
  Pipes pipes;
  {
    Terminal terminal(pipes.settings());
    EXPECT_FALSE(terminal.interactive());
    terminal.set_status({"50%"});
    terminal.message("m");
  }
  EXPECT_EQ(pipes.err(), "m\n");
}

// Both outputs on a pseudo-terminal of the given width.
struct Pty {
  explicit Pty(unsigned short columns) {
    int master_fd = -1;
    int slave_fd = -1;
    const winsize size{24, columns, 0, 0};
    EXPECT_EQ(::openpty(&master_fd, &slave_fd, nullptr, nullptr, &size), 0);
    master = UniqueFd(master_fd);
    slave = UniqueFd(slave_fd);
  }
  [[nodiscard]] TerminalSettings settings() const {
    return {.out_fd = slave.get(), .err_fd = slave.get()};
  }
  // What comes, `bytes` at least: the kernel may bring it in pieces.
  [[nodiscard]] std::string read(size_t bytes = 1) const {
    std::string text;
    while (text.size() < bytes) {
      Buffer piece(1 << 16);
      text += as_text(piece.view(0, read_some(master.get(), piece.bytes(), "pty")));
    }
    return text;
  }
  void expect(const std::string& text) const { EXPECT_EQ(read(text.size()), text); }
  void resize(unsigned short columns) const {
    const winsize size{24, columns, 0, 0};
    EXPECT_EQ(::ioctl(master.get(), TIOCSWINSZ, &size), 0);
  }
  UniqueFd master, slave;
};

TEST(Terminal, StatusIsRedrawnInPlaceBelowMessages) {
  const Pty pty(40);
  Terminal terminal(pty.settings());
  ASSERT_TRUE(terminal.interactive());
  terminal.set_status({"first", "item"});
  pty.expect("first\r\nitem");
  terminal.message("news");
  pty.expect("\r\x1b[1A\x1b[Jnews\r\nfirst\r\nitem");
  terminal.set_status({"second"});
  pty.expect("\r\x1b[1A\x1b[Jsecond");
  terminal.clear_status();
  pty.expect("\r\x1b[J");
}

TEST(Terminal, StatusIsCutToTheWidthOfTheMoment) {
  const Pty pty(40);
  Terminal terminal(pty.settings());
  EXPECT_EQ(terminal.columns(), 40U);
  pty.resize(25);
  terminal.set_status({std::string(100, 'x')});
  EXPECT_EQ(display_width(pty.read()), 24U);
}

TEST(Progress, DrawsWhileItLivesAndCleansUp) {
  const Pty pty(60);
  Terminal terminal(pty.settings());
  const SystemClock clock;
  std::string seen;
  {
    const Environment fast(Environment::Variables{{"SALVOR_PROGRESS_FPS", "50"}});
    const Progress progress(terminal, fast, clock, {.numbers = [] {
                              return ProgressNumbers{.bytes_done = 5, .files_done = 3};
                            }});
    seen = pty.read();
  }
  seen += pty.read();
  EXPECT_THAT(seen, HasSubstr("3 files  5 B"));
  EXPECT_TRUE(seen.ends_with("\r\x1b[J")) << seen;
}

TEST(Progress, JsonStatusGoesToOutputOnlyWhereTheCommandHasOne) {
  Pipes pipes;
  {
    Terminal terminal(pipes.settings(true));
    const SystemClock clock;
    const Environment fast(Environment::Variables{{"RESTIC_PROGRESS_FPS", "50"}});
    const Progress silent(terminal, fast, clock, {.numbers = [] { return ProgressNumbers{}; }});
    const Progress progress(
        terminal, fast, clock,
        {.numbers = [] { return ProgressNumbers{}; },
         .status_json = [] { return JsonWriter().begin_message("status").end_object(); }});
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
  EXPECT_TRUE(pipes.out().starts_with("{\"message_type\":\"status\",\"salvor_format\":1}\n"));
}

TEST(EventPrinter, CountsAndShowsFailedItems) {
  Pipes pipes;
  {
    Terminal terminal(pipes.settings());
    EventPrinter events(terminal);
    events.on(ItemFailed{"read", "/a", "cannot read /a: permission denied", "Ask."});
    events.on(ItemFailed{"read", "/b", "vanished", ""});
    events.on(Warning{"odd", ""});
    events.on(ItemHandled{"new", "/c", "file", 1, 1});
    EXPECT_EQ(events.errors(), 2U);
    EXPECT_EQ(events.warnings(), 1U);
  }
  EXPECT_EQ(pipes.err(),
            "error: cannot read /a: permission denied\nHINT: Ask.\nerror: /b: vanished\n"
            "warning: odd\n");
}

TEST(EventPrinter, WritesResticsErrorObjects) {
  Pipes pipes;
  {
    Terminal terminal(pipes.settings(true, 2));
    EventPrinter events(terminal);
    events.on(ItemFailed{"read", "/a", "cannot read /a", ""});
    ASSERT_TRUE(events.wants_items());
    events.on(ItemHandled{"new", "/c", "file", 7, 5});
    events.on(ItemHandled{"new", "/d", "file", 7, 0});
  }
  EXPECT_EQ(pipes.err(),
            "{\"message_type\":\"error\",\"salvor_format\":1,\"error\":{\"message\":"
            "\"cannot read /a\"},\"during\":\"archival\",\"item\":\"/a\"}\n");
  EXPECT_EQ(pipes.out(),
            "{\"message_type\":\"verbose_status\",\"salvor_format\":1,\"action\":\"new\",\"item\":"
            "\"/c\",\"size\":7,\"data_size\":7,\"data_size_in_repo\":5}\n"
            "{\"message_type\":\"verbose_status\",\"salvor_format\":1,\"action\":\"new\",\"item\":"
            "\"/d\",\"size\":7}\n")
      << "what is not known is not said to be nothing";
}

}  // namespace
}  // namespace salvor::cli
