// Where output goes: results to stdout, messages and progress to stderr.
//
// Results are raw bytes of the command's choosing; names from snapshots must go through `printable`
// (base/format.h) first, or a hostile file name could drive the terminal.
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "cli/environment.h"
#include "cli/output/json_writer.h"

namespace salvor::cli {

struct TerminalSettings {
  int out_fd = 1;
  int err_fd = 2;
  bool json = false;
  int verbosity = 1;              // 0 quiet, 1 normal, 2 -v, 3 -vv
  bool no_color = false;          // NO_COLOR is set
  bool dumb = false;              // TERM is "dumb" or unset
  std::optional<size_t> columns;  // COLUMNS, for when the size cannot be asked
};

[[nodiscard]] TerminalSettings terminal_settings(const Environment& environment);

// Thread-safe. Standard output is buffered: flushed when the buffer is full, by `flush`, and before
// anything is written to stderr when both are terminals.
class Terminal {
 public:
  explicit Terminal(const TerminalSettings& settings);
  // Flushes; failures are swallowed, call `flush` to see them.
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  [[nodiscard]] bool json() const { return settings_.json; }
  [[nodiscard]] int verbosity() const { return settings_.verbosity; }
  void set_output_mode(bool json, int verbosity);

  // --- results, stdout. Throw Error when the output cannot be written; `output_closed` then says
  // whether that is because the reader has gone away.
  void print(std::string_view text);
  void print_line(std::string_view line);
  // One line, flushed at once.
  void print_json(const JsonWriter& json);
  // Like print_line, but left out with --quiet and --json: for "snapshot 1a2b3c4d saved".
  void print_summary(std::string_view line);
  void flush();
  // Data that goes out at once, after what was printed before: a file's content, an archive.
  void write_output(ByteView bytes);
  [[nodiscard]] bool output_closed() const;

  // --- messages, stderr. Never throw. Lines, without the newline at the end. With --json only
  // warnings and errors are written, as objects.
  void message(std::string_view line);  // left out with --quiet
  void message_at(int verbosity,
                  std::string_view line);  // only at this level (2: -v, 3: -vv) and above
  void warn(std::string_view message, std::string_view hint = {});
  // One line on stderr whatever the mode (JSON objects for stderr, prompts).
  void raw_error_line(std::string_view line);
  // To stderr as it is, without a newline: prompts, and what a password command says.
  void prompt(std::string_view text);
  // The end of a failed run: "salvor: <message>", "HINT: <hint>"; with --json restic's
  // {"message_type":"exit_error","code":...,"message":...}. `status` is the exit status.
  void report(const Error& error, int status);

  // --- the status block: lines at the bottom of an interactive stderr, redrawn in place. Messages
  // appear above it. Without effect when !interactive(). Lines are cut to the width.
  void set_status(const std::vector<std::string>& lines);
  void clear_status();
  // Status objects of --json runs: stdout, dropped silently when nobody reads.
  void print_status_json(const JsonWriter& json);

  // stderr is a terminal that can move its cursor.
  [[nodiscard]] bool interactive() const { return interactive_; }
  [[nodiscard]] bool out_is_terminal() const { return out_is_terminal_; }
  [[nodiscard]] bool color() const { return color_; }
  // Width of the terminal now (stdout's, else stderr's); 80 when there is none. At least 20.
  [[nodiscard]] size_t columns() const;

 private:
  void print_locked(std::string_view text);
  void flush_locked();
  void write_out_locked(ByteView bytes, const char* what);
  void error_line_locked(std::string_view line);
  void erase_status_locked();
  void draw_status_locked();
  void write_error_fd(std::string_view text) noexcept;

  TerminalSettings settings_;
  bool interactive_ = false;
  bool out_is_terminal_ = false;
  bool color_ = false;
  mutable std::mutex mutex_;
  std::string buffer_;
  bool output_closed_ = false;
  std::vector<std::string> status_;
  size_t status_drawn_ = 0;
};

}  // namespace salvor::cli
