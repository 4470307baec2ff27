#include "engine/postgres/wal_uploader.h"

#include <algorithm>
#include <charconv>
#include <filesystem>

#include <fmt/format.h>

#include "base/format.h"

namespace salvor {
namespace {

namespace fs = std::filesystem;
constexpr std::chrono::milliseconds kLook{100};
constexpr std::chrono::seconds kRetry{2};
constexpr std::chrono::seconds kWarnEvery{60};
constexpr size_t kSegmentNameBytes = 24;

// In any order; none when there is no such folder.
std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(folder, error); at != fs::directory_iterator();
       at.increment(error)) {
    names.push_back(at->path().filename().string());
  }
  return names;
}

}  // namespace

// ---- SpoolStore

SpoolStore::SpoolStore(const Context& context, const WalArchive& archive, WalSpool& spool)
    : context_(context), archive_(archive), spool_(spool), strange_(spool.waiting() + 1) {}

size_t SpoolStore::store_whole(const std::stop_token& stop) {
  size_t stored = 0;
  for (const std::string& name : spool_.whole()) {
    if (stop.stop_requested()) {
      break;
    }
    spool_.read(name, content_);
    archive_.push(context_, name, content_.view(), scratch_);
    if (name.size() == kSegmentNameBytes && strange_ > 0) {
      --strange_;
      const WalPieces pieces = archive_.look(context_, name);
      tails_.insert(tails_.end(), pieces.tails.begin(), pieces.tails.end());
    }
    archive_.remove_tails(context_, name, tails_);
    spool_.remove(name);
    known_bytes_ = 0;
    ++stored;
  }
  return stored;
}

void SpoolStore::begin_tail(const std::string& segment) {
  const WalPieces pieces = archive_.look(context_, segment);
  tails_.insert(tails_.end(), pieces.tails.begin(), pieces.tails.end());
  tail_bytes_ = pieces.whole ? spool_.segment_bytes() : pieces.end;
  tail_segment_ = segment;
}

bool SpoolStore::store_tail() {
  auto tail = spool_.tail(tail_segment_, tail_bytes_, std::move(content_));
  if (tail && tail->segment != tail_segment_) {
    begin_tail(tail->segment);
    tail = spool_.tail(tail_segment_, tail_bytes_, std::move(tail->bytes));
  }
  if (!tail) {
    return true;
  }
  if (spool_.waiting() > 0 || tail->segment != tail_segment_) {
    return false;
  }
  tails_.push_back(
      archive_.push_tail(context_, tail->segment, tail->begin, tail->bytes.view(), scratch_));
  tail_bytes_ = tail->begin + tail->bytes.size();
  known_bytes_ = tail_bytes_;
  content_ = std::move(tail->bytes);
  return true;
}

// ---- WalUploader

WalUploader::WalUploader(const Context& context, const WalArchive& archive, WalSpool& spool,
                         std::chrono::nanoseconds flush_every)
    : context_(context),
      spool_(spool),
      flush_every_(flush_every),
      store_(context, archive, spool),
      stored_(context.clock.monotonic()) {
  thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

WalUploader::~WalUploader() {
  thread_.request_stop();
  thread_.join();
  try {
    store_.store_whole();
    store_.store_tail();
  } catch (const Error& error) {
    warn(error, true);
  }
}

void WalUploader::work(const std::stop_token& stop) {
  const auto wait = [&](std::chrono::milliseconds left) {
    for (; left.count() > 0 && !stop.stop_requested(); left -= kLook) {
      std::this_thread::sleep_for(kLook);
    }
  };
  while (!stop.stop_requested()) {
    try {
      store(stop);
      wait(kLook);
    } catch (const Error& error) {
      warn(error, false);
      wait(kRetry);
    }
  }
}

void WalUploader::store(const std::stop_token& stop) {
  if (spool_.waiting() > 0) {
    const MonotonicTime begun = context_.clock.monotonic();
    store_.store_whole(stop);
    stored_ = begun;  // what has come since is younger than that
  }
  if (hurry_ || tail_is_due(context_.clock.monotonic() - stored_)) {
    const MonotonicTime begun = context_.clock.monotonic();
    const bool hurried = hurry_.exchange(false);
    if (store_.store_tail()) {
      stored_ = begun;
    } else if (hurried) {
      hurry_ = true;
    }
  }
}

// A segment that will soon be whole by the pace at which it came so far need not be stored twice.
bool WalUploader::tail_is_due(std::chrono::nanoseconds age) const {
  if (age < flush_every_) {
    return false;
  }
  const uint64_t have = spool_.unfinished_bytes();
  const auto patience = flush_every_ + flush_every_ / 2 - age;
  const uint64_t come = have - std::min(have, store_.known_bytes());
  const auto pace = static_cast<double>(come) / static_cast<double>(age.count());
  return static_cast<double>(have) + pace * static_cast<double>(patience.count()) <
         static_cast<double>(spool_.segment_bytes());
}

void WalUploader::warn(const Error& error, bool last) {
  const MonotonicTime now = context_.clock.monotonic();
  if (!warned_ || last || now - *warned_ >= kWarnEvery) {
    warned_ = now;
    context_.events.on(Warning{fmt::format("WAL cannot be stored: {}; {} wait in the spool",
                                           error.message(), format_bytes(spool_.bytes())),
                               last ? "It is stored when the stream is started again."
                                    : "It is tried again. " + error.hint()});
  }
}

// ---- SpoolRescue

SpoolRescue::SpoolRescue(const Context& context, const Repository& repository, std::string root,
                         uint64_t except)
    : context_(context), repository_(repository), root_(std::move(root)), except_(except) {
  thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

SpoolRescue::~SpoolRescue() {
  if (thread_.joinable()) {
    thread_.join();  // by itself it would be stopped
  }
}

void SpoolRescue::stop() {
  thread_.request_stop();
  thread_.join();
}

void SpoolRescue::work(const std::stop_token& stop) const {
  for (const std::string& name : names_in(root_)) {
    uint64_t system = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), system);
    if (error != std::errc() || end != name.data() + name.size() || system == except_) {
      continue;
    }
    const std::string folder = root_ + "/" + name;
    try {
      store(folder, system, stop);
    } catch (const Error& failed) {
      if (failed.code() != ErrorCode::kLocked && failed.code() != ErrorCode::kCancelled) {
        context_.events.on(Warning{
            "what is left in the spool " + folder + " cannot be stored: " + failed.message(),
            "It is tried again when the stream is started again. " + failed.hint()});
      }
    }
  }
}

void SpoolRescue::store(const std::string& folder, uint64_t system_identifier,
                        const std::stop_token& stop) const {
  const postgres::SegmentSize size = WalSpool::segment_size(folder);
  WalSpool spool(folder, size, 0);
  const WalArchive archive(repository_, system_identifier, size);
  SpoolStore store(context_, archive, spool);
  store.store_whole(stop);
  if (!stop.stop_requested()) {
    store.store_tail();
  }
}

}  // namespace salvor
