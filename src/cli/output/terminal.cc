#include "cli/output/terminal.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/format.h"
#include "cli/output/text.h"

namespace salvor::cli {

namespace {

constexpr size_t kBufferLimit = size_t{64} << 10;
constexpr size_t kNarrowest = 20;
constexpr size_t kWidest = 1000;

std::optional<size_t> columns_of(int fd) {
  winsize size{};
  if (::ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    return size.ws_col;
  }
  return std::nullopt;
}

// The length of one of the colours that lines of the status block may have, which `text` begins
// with; 0: of none.
size_t color_length(std::string_view text) {
  for (const std::string_view color :
       {"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[36m"}) {
    if (text.starts_with(color)) {
      return color.size();
    }
  }
  return 0;
}

// Calls `color` for each colour and `plain` for the text between.
template <class Color, class Plain>
void part_colors(std::string_view text, const Color& color, const Plain& plain) {
  size_t begin = 0;
  for (size_t at = 0; at < text.size(); ++at) {
    if (const size_t length = color_length(text.substr(at)); length > 0) {
      plain(text.substr(begin, at - begin));
      color(text.substr(at, length));
      begin = at + length;
      at = begin - 1;
    }
  }
  plain(text.substr(begin));
}

std::string without_colors(std::string_view text) {
  std::string result;
  part_colors(text, [](std::string_view) {}, [&](std::string_view part) { result += part; });
  return result;
}

// Cut to `width`; the colours stay, everything else that a terminal could act on is shown.
std::string fitted(std::string_view line, size_t width) {
  std::string result;
  bool colored = false;
  part_colors(
      line,
      [&](std::string_view color) {
        result += color;
        colored = true;
      },
      [&](std::string_view part) {
        const std::string shown = truncate_to_width(printable(part), width);
        result += shown;
        width -= std::min(width, display_width(shown));
      });
  return result + (colored ? "\x1b[0m" : "");
}

// How many rows of a terminal a block of lines takes: after it was made narrower they wrap.
size_t rows_of(const std::vector<std::string>& lines, size_t columns) {
  size_t rows = 0;
  for (const std::string& line : lines) {
    rows += std::max<size_t>(1, (display_width(without_colors(line)) + columns - 1) / columns);
  }
  return rows;
}

// Messages may quote names; line breaks are ours, everything else a terminal could act on is not.
std::string printable_lines(std::string_view text) {
  std::string result;
  while (true) {
    const size_t end = text.find('\n');
    result += printable(text.substr(0, end));
    if (end == std::string_view::npos) {
      return result;
    }
    result += '\n';
    text.remove_prefix(end + 1);
  }
}

}  // namespace

TerminalSettings terminal_settings(const Environment& environment) {
  TerminalSettings settings;
  settings.no_color = environment.get("NO_COLOR").has_value();
  const auto term = environment.get("TERM");
  settings.dumb = !term || *term == "dumb";
  if (const auto columns = environment.get("COLUMNS")) {
    size_t value = 0;
    const auto [end, error] =
        std::from_chars(columns->data(), columns->data() + columns->size(), value);
    if (error == std::errc() && end == columns->data() + columns->size() && value > 0) {
      settings.columns = value;
    }
  }
  return settings;
}

Terminal::Terminal(const TerminalSettings& settings)
    : settings_(settings),
      interactive_(!settings.dumb && ::isatty(settings.err_fd) == 1),
      out_is_terminal_(::isatty(settings.out_fd) == 1),
      color_(out_is_terminal_ && !settings.no_color && !settings.dumb) {}

Terminal::~Terminal() {
  const std::lock_guard lock(mutex_);
  try {
    erase_status_locked();
    flush_locked();
  } catch (...) {  // nobody left to tell
    buffer_.clear();
  }
}

void Terminal::set_output_mode(bool json, int verbosity) {
  const std::lock_guard lock(mutex_);
  settings_.json = json;
  settings_.verbosity = verbosity;
}

void Terminal::print(std::string_view text) {
  const std::lock_guard lock(mutex_);
  print_locked(text);
}

void Terminal::print_line(std::string_view line) {
  const std::lock_guard lock(mutex_);
  print_locked(line);
  print_locked("\n");
}

void Terminal::print_json(const JsonWriter& json) {
  const std::lock_guard lock(mutex_);
  print_locked(json.text());
  print_locked("\n");
  flush_locked();
}

void Terminal::print_summary(std::string_view line) {
  if (settings_.verbosity >= 1 && !settings_.json) {
    print_line(line);
  }
}

void Terminal::flush() {
  const std::lock_guard lock(mutex_);
  flush_locked();
}

void Terminal::write_output(ByteView bytes) {
  const std::lock_guard lock(mutex_);
  flush_locked();
  write_out_locked(bytes, "standard output");
}

bool Terminal::output_closed() const {
  const std::lock_guard lock(mutex_);
  return output_closed_;
}

void Terminal::print_locked(std::string_view text) {
  buffer_ += text;
  if (buffer_.size() >= kBufferLimit) {
    flush_locked();
  }
}

void Terminal::flush_locked() {
  if (buffer_.empty()) {
    return;
  }
  if (out_is_terminal_) {
    erase_status_locked();
  }
  const std::string pending = std::move(buffer_);
  buffer_.clear();
  write_out_locked(as_bytes(pending), "the output");
  if (out_is_terminal_) {
    draw_status_locked();
  }
}

void Terminal::write_out_locked(ByteView bytes, const char* what) {
  try {
    write_full(settings_.out_fd, bytes, what);
  } catch (const Error& error) {
    output_closed_ = output_closed_ || error.error_number() == EPIPE;
    throw;
  }
}

void Terminal::message(std::string_view line) {
  message_at(1, line);
}

void Terminal::message_at(int verbosity, std::string_view line) {
  if (settings_.json || settings_.verbosity < verbosity) {
    return;
  }
  raw_error_line(printable_lines(line));
}

void Terminal::warn(std::string_view message, std::string_view hint) {
  if (settings_.json) {
    JsonWriter json;
    json.begin_message("warning").field("message", message);
    if (!hint.empty()) {
      json.field("hint", hint);
    }
    raw_error_line(json.end_object().text());
    return;
  }
  std::string text = "warning: " + printable_lines(message);
  if (!hint.empty()) {
    text += "\nHINT: " + printable_lines(hint);
  }
  raw_error_line(text);
}

void Terminal::raw_error_line(std::string_view line) {
  const std::lock_guard lock(mutex_);
  error_line_locked(line);
}

void Terminal::prompt(std::string_view text) {
  const std::lock_guard lock(mutex_);
  erase_status_locked();
  write_error_fd(text);
}

void Terminal::report(const Error& error, int status) {
  if (settings_.json) {
    JsonWriter json;
    json.begin_message("exit_error").field("code", status).field("message", error.message());
    json.field("error", error_code_name(error.code()));
    if (!error.hint().empty()) {
      json.field("hint", error.hint());
    }
    raw_error_line(json.end_object().text());
    return;
  }
  std::string text = "salvor: " + printable_lines(error.message());
  if (!error.hint().empty()) {
    text += "\nHINT: " + printable_lines(error.hint());
  }
  raw_error_line(text);
}

void Terminal::error_line_locked(std::string_view line) {
  try {
    flush_locked();
  } catch (const Error&) {  // the next print reports it
  }
  erase_status_locked();
  write_error_fd(std::string(line) + "\n");
  draw_status_locked();
}

void Terminal::set_status(const std::vector<std::string>& lines) {
  if (!interactive_) {
    return;
  }
  const std::lock_guard lock(mutex_);
  erase_status_locked();
  status_ = lines;
  draw_status_locked();
}

void Terminal::clear_status() {
  set_status({});
}

void Terminal::print_status_json(const JsonWriter& json) {
  const std::lock_guard lock(mutex_);
  if (output_closed_) {
    return;
  }
  try {
    print_locked(json.text());
    print_locked("\n");
    flush_locked();
  } catch (const Error&) {  // progress nobody reads must not end the work; the summary will
  }
}

// Goes up over the block and clears from there to the end of the screen.
void Terminal::erase_status_locked() {
  if (status_drawn_ == 0) {
    return;
  }
  std::string text = "\r";
  if (const size_t rows = rows_of(status_, columns()); rows > 1) {
    text += "\x1b[" + std::to_string(rows - 1) + "A";
  }
  write_error_fd(text + "\x1b[J");
  status_drawn_ = 0;
}

void Terminal::draw_status_locked() {
  if (status_.empty() || !interactive_) {
    return;
  }
  // Asked for anew each time, so that a change of width shows within one redraw. One column stays
  // free: a full line would make some terminals wrap.
  const size_t width = columns() - 1;
  // What does not fit in would scroll away and could not be erased again.
  winsize size{};
  if (::ioctl(settings_.err_fd, TIOCGWINSZ, &size) == 0 && size.ws_row > 1 &&
      status_.size() >= size.ws_row) {
    status_.erase(status_.begin(), status_.end() - (size.ws_row - 1));
  }
  std::string text;
  for (std::string& line : status_) {
    line = fitted(line, width);
    text += (text.empty() ? "" : "\n") + line;
  }
  write_error_fd(text);
  status_drawn_ = status_.size();
}

void Terminal::write_error_fd(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(settings_.err_fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) {
      continue;
    }
    if (written <= 0) {
      return;  // stderr is gone: there is nowhere to say so
    }
    text.remove_prefix(static_cast<size_t>(written));
  }
}

size_t Terminal::columns() const {
  auto width = columns_of(settings_.out_fd);
  if (!width) {
    width = columns_of(settings_.err_fd);
  }
  if (!width) {
    width = settings_.columns;
  }
  return std::clamp(width.value_or(80), kNarrowest, kWidest);
}

}  // namespace salvor::cli
