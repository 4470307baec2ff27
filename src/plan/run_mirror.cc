#include "plan/run_mirror.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/error.h"
#include "plan/run_journal.h"

namespace salvor::plan {
namespace {

using std::chrono::seconds;

constexpr const char* kArea = "plans/";
constexpr size_t kIdDigits = 32;
// Objects of a busy journal: many lines travel together.
constexpr std::chrono::milliseconds kPause{200};

std::string position_of(const std::string& run, size_t first) {
  return fmt::format("{}-{:08}", run, first);
}

size_t line_count(std::string_view text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

// Who says so, of the first line of what another machine wrote.
std::string other_machine(std::string_view text) {
  try {
    const JournalEntry entry = parse_entry(text.substr(0, text.find('\n')));
    const std::string who = entry.value("who");
    return who.empty() ? time_text(entry.time) : who + " at " + time_text(entry.time);
  } catch (const Error&) {
    return "another machine";
  }
}

}  // namespace

Journal mirror_area(const Repository& repository) {
  return Journal::at(repository, kArea);
}

std::map<std::string, std::vector<MirrorPiece>> mirror_pieces(const Context& context,
                                                              const Journal& area,
                                                              const std::string& prefix) {
  std::map<std::string, std::vector<MirrorPiece>> found;
  for (const salvor::JournalEntry& entry : area.list(context, prefix)) {
    const std::string& name = entry.position;
    size_t first = 0;
    if (name.size() <= kIdDigits + 1 || name[kIdDigits] != '-') {
      continue;
    }
    const char* const end = name.data() + name.size();
    const auto [stop, error] = std::from_chars(name.data() + kIdDigits + 1, end, first);
    if (error == std::errc() && stop == end) {
      found[name.substr(0, kIdDigits)].push_back({first, name});
    }
  }
  return found;
}

RunMirror::RunMirror(const Context& context, std::string run, const std::vector<std::string>& lines,
                     Connect connect, Say warn)
    : context_(context.with_stop(stop_.get_token())),
      run_(std::move(run)),
      connect_(std::move(connect)),
      warn_(std::move(warn)) {
  for (const std::string& line : lines) {
    add(line);
  }
  thread_ = std::jthread([this] { work(); });
}

RunMirror::~RunMirror() {
  close();
}

void RunMirror::add(std::string_view line) {
  const std::scoped_lock lock(mutex_);
  lines_.push_back(std::string(line) + "\n");
  changed_.notify_all();
}

std::string RunMirror::lost() const {
  const std::scoped_lock lock(mutex_);
  return lost_;
}

bool RunMirror::settle(std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  const size_t wanted = lines_.size();
  if (slow_ && limit <= seconds(2)) {
    return sent_ >= wanted;
  }
  const auto over = [&] { return sent_ >= wanted || ended_ || !lost_.empty(); };
  if (!changed_.wait_for(lock, limit, over)) {
    slow_ = true;
  }
  return sent_ >= wanted;
}

void RunMirror::close() {
  constexpr auto kPatience = seconds(15);
  {
    std::unique_lock lock(mutex_);
    closing_ = true;
    changed_.notify_all();
    // Who has not even said what it has of the run is not waited for as long.
    const auto limit = compared_ ? kPatience : seconds(3);
    changed_.wait_for(lock, limit, [&] { return ended_; });
  }
  stop_.request_stop();
  if (thread_.joinable()) {
    thread_.join();
    if (const size_t left = lines_.size() - sent_; left > 0 && lost_.empty()) {
      warn_(fmt::format("the last {} of {} entries of the run's journal are not in the repository",
                        left, lines_.size()));
    }
  }
}

void RunMirror::work() {
  auto pause = seconds(1);
  bool told = false;
  while (!stop_.stop_requested()) {
    try {
      connect_(context_, [&](const Repository& repository) { serve(repository); });
      break;
    } catch (const std::exception& error) {
      if (stop_.stop_requested()) {
        break;
      }
      if (!told) {
        warn_(std::string("the run's journal cannot be copied into the repository now: ") +
              error.what());
        told = true;
      }
    }
    std::unique_lock lock(mutex_);
    slow_ = true;
    if (changed_.wait_for(lock, pause, [&] { return closing_; })) {
      break;
    }
    pause = std::min<seconds>(pause * 2, seconds(60));
  }
  const std::scoped_lock lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

bool RunMirror::wait_for_lines(std::unique_lock<std::mutex>& lock) {
  changed_.wait(lock, [&] { return closing_ || lines_.size() > sent_; });
  return lines_.size() > sent_;
}

void RunMirror::serve(const Repository& repository) {
  compare(repository);
  const Journal area = mirror_area(repository);
  std::unique_lock lock(mutex_);
  while (lost_.empty() && wait_for_lines(lock)) {
    std::string text;
    const size_t first = sent_;
    const size_t end = lines_.size();
    for (size_t i = first; i < end; ++i) {
      text += lines_[i];
    }
    const bool hurry = closing_;
    lock.unlock();
    try {
      static_cast<void>(area.put(context_, position_of(run_, first + 1), as_bytes(text)));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kFailed) {
        throw;
      }
      compare(repository);  // somebody else may have written there
      lock.lock();
      if (lost_.empty() && sent_ == first) {
        throw;
      }
      continue;
    }
    lock.lock();
    sent_ = end;
    slow_ = slow_ && sent_ < lines_.size();
    changed_.notify_all();
    if (!hurry) {
      changed_.wait_for(lock, kPause, [&] { return closing_; });
    }
  }
}

// What the repository has of this run must be how our journal begins.
void RunMirror::compare(const Repository& repository) {
  const Journal area = mirror_area(repository);
  size_t sent = 0;
  std::string lost;
  const auto found = mirror_pieces(context_, area, run_);
  if (const auto it = found.find(run_); it != found.end()) {
    for (const MirrorPiece& piece : it->second) {
      if (piece.first <= sent) {
        continue;  // within the one before, which was written when this one was missed
      }
      if (piece.first > sent + 1) {
        break;  // an object is missing: it is written again
      }
      const Buffer content = area.get(context_, piece.position);
      std::string_view text = as_text(content.view());
      const std::scoped_lock lock(mutex_);
      while (!text.empty() && sent < lines_.size() && text.starts_with(lines_[sent])) {
        text.remove_prefix(lines_[sent].size());
        ++sent;
      }
      if (!text.empty()) {
        lost = "another machine has taken the run over (" + other_machine(text) + ")";
        break;
      }
    }
  }
  const std::scoped_lock lock(mutex_);
  sent_ = sent;
  lost_ = lost;
  compared_ = true;
  changed_.notify_all();
}

std::string mirrored_text(const Context& context, const Journal& area,
                          const std::vector<MirrorPiece>& pieces) {
  std::string text;
  size_t next = 1;
  for (const MirrorPiece& piece : pieces) {
    if (piece.first < next) {
      continue;  // within the one before
    }
    if (piece.first > next) {
      break;
    }
    try {
      const Buffer content = area.get(context, piece.position);
      text += as_text(content.view());
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kDamaged) {
        throw;
      }
      context.events.on(Warning{error.message(), error.hint()});
      break;
    }
    next = 1 + line_count(text);
  }
  return text;
}

std::vector<MirroredRun> mirrored_runs(const Context& context, const Repository& repository,
                                       const std::string& prefix) {
  const Journal area = mirror_area(repository);
  std::vector<MirroredRun> runs;
  for (const auto& [run, pieces] : mirror_pieces(context, area, prefix)) {
    if (std::string text = mirrored_text(context, area, pieces); !text.empty()) {
      runs.push_back({.run = run, .text = std::move(text)});
    }
  }
  return runs;
}

}  // namespace salvor::plan
