#include "storage/decorators/throttle_storage.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include "base/format.h"

namespace salvor {
namespace {

unsigned local_minute(const Context& context) {
  const time_t seconds = std::chrono::system_clock::to_time_t(
      std::chrono::floor<std::chrono::seconds>(context.clock.now()));
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return static_cast<unsigned>(local.tm_hour * 60 + local.tm_min);
}

// Takes "123" and then `end` off the front; nothing when it is not there, or above `most`.
std::optional<uint64_t> take_number(std::string_view& text, std::string_view end, uint64_t most) {
  uint64_t value = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string_view rest = text.substr(static_cast<size_t>(parsed.ptr - text.data()));
  if (parsed.ec != std::errc() || value > most || !rest.starts_with(end)) {
    return std::nullopt;
  }
  text = rest.substr(end.size());
  return value;
}

std::optional<LimitWindow> parse_window(std::string_view text) {
  constexpr uint64_t kMostKib = uint64_t{1} << 40;
  std::array<uint64_t, 6> found{};
  constexpr std::array<std::string_view, 6> kEnds = {":", "-", ":", "=", "/", ""};
  constexpr std::array<uint64_t, 6> kMost = {23, 59, 24, 59, kMostKib, kMostKib};
  for (size_t i = 0; i < found.size(); ++i) {
    const auto number = take_number(text, kEnds.at(i), kMost.at(i));
    if (!number) {
      return std::nullopt;
    }
    found.at(i) = *number;
  }
  const auto begin = static_cast<unsigned>(found[0] * 60 + found[1]);
  const auto end = static_cast<unsigned>(found[2] * 60 + found[3]);
  if (!text.empty() || end > 24 * 60 || begin == end) {
    return std::nullopt;
  }
  return LimitWindow{.begin_minute = begin,
                     .end_minute = end,
                     .upload_bytes_per_second = found[4] << 10U,
                     .download_bytes_per_second = found[5] << 10U};
}

}  // namespace

LimitWindow BandwidthLimits::at(unsigned minute) const {
  for (const LimitWindow& window : windows) {
    const bool after_begin = minute >= window.begin_minute;
    const bool before_end = minute < window.end_minute;
    const bool over_midnight = window.end_minute <= window.begin_minute;
    if (over_midnight ? after_begin || before_end : after_begin && before_end) {
      return window;
    }
  }
  return {.end_minute = 24 * 60,
          .upload_bytes_per_second = upload_bytes_per_second,
          .download_bytes_per_second = download_bytes_per_second};
}

std::vector<LimitWindow> parse_limit_windows(std::string_view text) {
  std::vector<LimitWindow> windows;
  while (!text.empty()) {
    const size_t comma = std::min(text.find(','), text.size());
    std::string_view one = text.substr(0, comma);
    one.remove_prefix(std::min(one.find_first_not_of(' '), one.size()));
    text.remove_prefix(std::min(comma + 1, text.size()));
    const auto window = parse_window(one);
    if (!window) {
      throw Error(
          ErrorCode::kUsage,
          "the extended option limits.windows holds " + printable(one) + ", which is not a window",
          "Write 08:00-18:00=500/2000 (upload/download in KiB/s, 0 for no limit), several "
          "with commas between.");
    }
    windows.push_back(*window);
  }
  return windows;
}

void RateLimiter::pass(const Context& context, uint64_t amount, uint64_t rate) {
  if (rate == 0) {
    return;
  }
  const auto share = std::chrono::duration_cast<std::chrono::nanoseconds>(
      std::chrono::duration<double>(static_cast<double>(amount) / static_cast<double>(rate)));
  std::unique_lock lock(mutex_);
  const MonotonicTime now = context.clock.monotonic();
  free_at_ = std::max(free_at_, now) + share;
  const auto wait = free_at_ - now;
  // Nobody notifies: the wait ends by time or by the stop token.
  wake_.wait_for(lock, context.stop, wait, [] { return false; });
  lock.unlock();
  context.check_stopped();
}

void ThrottleStorage::request(const Context& context, uint64_t count) {
  requests_.pass(context, count, limits_.requests_per_second);
}

void ThrottleStorage::upload(const Context& context, uint64_t bytes) {
  request(context);
  upload_.pass(context, bytes, limits_.at(local_minute(context)).upload_bytes_per_second);
}

void ThrottleStorage::download(const Context& context, uint64_t bytes) {
  download_.pass(context, bytes, limits_.at(local_minute(context)).download_bytes_per_second);
}

void ThrottleStorage::put(const Context& context, const ObjectName& object,
                          std::span<const ByteView> parts) {
  upload(context, total_size(parts));
  base_->put(context, object, parts);
}

void ThrottleStorage::replace_config(const Context& context, ByteView bytes) {
  upload(context, bytes.size());
  base_->replace_config(context, bytes);
}

Buffer ThrottleStorage::get(const Context& context, const ObjectName& object,
                            uint64_t limit_bytes) {
  request(context);
  Buffer content = base_->get(context, object, limit_bytes);
  download(context, content.size());
  return content;
}

void ThrottleStorage::get_range(const Context& context, const ObjectName& object, uint64_t offset,
                                MutableBytes out) {
  request(context);
  base_->get_range(context, object, offset, out);
  download(context, out.size());
}

void ThrottleStorage::remove_many(const Context& context, std::span<const ObjectName> objects) {
  if (limits_.requests_per_second == 0) {
    base_->remove_many(context, objects);
    return;
  }
  // A second's worth at a time, so that no call is a burst.
  context.check_stopped();
  while (!objects.empty()) {
    const auto some =
        objects.first(std::min<uint64_t>(objects.size(), limits_.requests_per_second));
    objects = objects.subspan(some.size());
    request(context, some.size());
    base_->remove_many(context, some);
  }
}

std::unique_ptr<Storage> with_limits(std::unique_ptr<Storage> base, const BandwidthLimits& limits) {
  return limits.any() ? std::make_unique<ThrottleStorage>(std::move(base), limits)
                      : std::move(base);
}

}  // namespace salvor
