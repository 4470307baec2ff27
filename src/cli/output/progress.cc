#include "cli/output/progress.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "base/format.h"

namespace salvor::cli {

namespace {

constexpr double kSmoothingSeconds = 10;
constexpr size_t kMostItems = 4;
constexpr double kTerminalFps = 8;
constexpr double kJsonFps = 1;
constexpr double kHighestFps = 60;

double frames_per_second(const Environment& environment, bool json) {
  if (const auto text = environment.get_either("PROGRESS_FPS")) {
    const double value = std::strtod(text->c_str(), nullptr);
    if (std::isfinite(value) && value > 0) {
      return std::min(value, kHighestFps);
    }
  }
  return json ? kJsonFps : kTerminalFps;
}

std::string counted(uint64_t number, const std::string& unit) {
  std::string text = fmt::format("{} {}", number, unit);
  if (number == 1 && unit.ends_with('s')) {
    text.pop_back();
  }
  return text;
}

}  // namespace

void RateMeter::update(MonotonicTime now, uint64_t bytes_done) {
  if (!last_) {
    last_ = now;
    last_bytes_ = bytes_done;
    return;
  }
  const double seconds = std::chrono::duration<double>(now - *last_).count();
  if (seconds <= 0) {
    return;
  }
  const uint64_t more = bytes_done > last_bytes_ ? bytes_done - last_bytes_ : 0;
  const double current = static_cast<double>(more) / seconds;
  const double weight = rate_ == 0 ? 1 : 1 - std::exp(-seconds / kSmoothingSeconds);
  rate_ += weight * (current - rate_);
  last_ = now;
  last_bytes_ = bytes_done;
}

std::optional<std::chrono::seconds> RateMeter::remaining(uint64_t bytes_left) const {
  static constexpr double kLongest = 1e9;
  if (rate_ < 1 || bytes_left == 0) {
    return std::nullopt;
  }
  const double seconds = static_cast<double>(bytes_left) / rate_;
  if (seconds > kLongest) {
    return std::nullopt;
  }
  return std::chrono::seconds(static_cast<int64_t>(std::ceil(seconds)));
}

std::vector<std::string> progress_lines(const ProgressNumbers& numbers, const RateMeter& rate,
                                        std::chrono::nanoseconds elapsed) {
  std::string line = "[" + format_duration(elapsed) + "]";
  if (!numbers.stage.empty()) {
    line += " " + numbers.stage;
  }
  if (numbers.bytes_total && *numbers.bytes_total > 0) {
    // Files may grow while they are read: never more than everything.
    const double share = std::min(
        1.0, static_cast<double>(numbers.bytes_done) / static_cast<double>(*numbers.bytes_total));
    line += fmt::format(" {:.2f}%", 100 * share);
  }
  if (numbers.files_done) {
    line += "  " + (numbers.files_total ? fmt::format("{} / ", *numbers.files_done) +
                                              counted(*numbers.files_total, numbers.unit)
                                        : counted(*numbers.files_done, numbers.unit));
  }
  if (numbers.bytes_done > 0 || numbers.bytes_total) {
    line += "  " + format_bytes(numbers.bytes_done);
    if (numbers.bytes_total) {
      line += " / " + format_bytes(*numbers.bytes_total);
    }
  }
  if (rate.bytes_per_second() >= 1) {
    line += "  " + format_bytes(static_cast<uint64_t>(rate.bytes_per_second())) + "/s";
  }
  if (numbers.bytes_total && *numbers.bytes_total > numbers.bytes_done) {
    if (const auto left = rate.remaining(*numbers.bytes_total - numbers.bytes_done)) {
      line += "  ETA " + format_duration(*left);
    }
  }
  if (numbers.errors > 0) {
    line += "  " + counted(numbers.errors, "errors");
  }
  std::vector<std::string> lines{line};
  for (size_t i = 0; i < numbers.current_items.size() && i < kMostItems; ++i) {
    lines.push_back("  " + printable(numbers.current_items[i]));
  }
  return lines;
}

Progress::Progress(Terminal& terminal, const Environment& environment, const Clock& clock,
                   ProgressSource source)
    : terminal_(terminal), clock_(clock), source_(std::move(source)), start_(clock.monotonic()) {
  const bool json = terminal.json();
  const bool shown = json ? source_.status_json != nullptr && terminal.verbosity() >= 1
                          : terminal.interactive() && terminal.verbosity() >= 1;
  if (!shown) {
    return;
  }
  interval_ =
      std::chrono::nanoseconds(static_cast<int64_t>(1e9 / frames_per_second(environment, json)));
  thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

Progress::~Progress() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
    terminal_.clear_status();
  }
}

void Progress::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    wake_.wait_for(lock, stop, interval_, [] { return false; });
    if (!stop.stop_requested()) {
      draw();
    }
  }
}

void Progress::draw() {
  if (terminal_.json()) {
    terminal_.print_status_json(source_.status_json());
    return;
  }
  const ProgressNumbers numbers = source_.numbers();
  const MonotonicTime now = clock_.monotonic();
  rate_.update(now, numbers.bytes_done);
  std::vector<std::string> lines = progress_lines(numbers, rate_, now - start_);
  terminal_.set_status(lines);
}

}  // namespace salvor::cli
