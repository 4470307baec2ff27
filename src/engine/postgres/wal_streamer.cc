#include "engine/postgres/wal_streamer.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <thread>

#include <fmt/format.h>

#include "base/fd.h"
#include "base/format.h"
#include "engine/postgres/wal_spool.h"

namespace salvor {
namespace {

using postgres::Lsn;
using postgres::Timeline;

constexpr std::chrono::milliseconds kLook{100};
constexpr std::chrono::seconds kRetry{2};
constexpr std::chrono::seconds kWarnEvery{60};
constexpr std::string_view kWalIsGone = "58P01";

// Takes what is whole out of the spool, and the tail every few seconds, to the archive. One thread;
// errors are told and tried again.
class Uploader {
 public:
  Uploader(const Context& context, const WalArchive& archive, WalSpool& spool,
           std::chrono::nanoseconds flush_every)
      : context_(context), archive_(archive), spool_(spool), flush_every_(flush_every) {
    thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
  }
  // Stores what there still is; gives up at the first error.
  ~Uploader() {
    thread_.request_stop();
    thread_.join();
    try {
      store_whole();
      store_tail();
    } catch (const Error& error) {
      warn(error, true);
    }
  }
  Uploader(const Uploader&) = delete;
  Uploader& operator=(const Uploader&) = delete;

 private:
  void work(const std::stop_token& stop) {
    stored_ = context_.clock.monotonic();
    while (!stop.stop_requested()) {
      try {
        if (spool_.waiting() > 0) {
          const MonotonicTime begun = context_.clock.monotonic();
          store_whole();
          stored_ = begun;  // what has come since is younger than that
        }
        if (tail_is_due(context_.clock.monotonic() - stored_)) {
          const MonotonicTime begun = context_.clock.monotonic();
          store_tail();
          stored_ = begun;
        }
        std::this_thread::sleep_for(kLook);
      } catch (const Error& error) {
        warn(error, false);
        pause(stop);
      }
    }
  }
  static void pause(const std::stop_token& stop) {
    for (auto left = kRetry; left.count() > 0 && !stop.stop_requested();
         left -= std::chrono::seconds(1)) {
      std::this_thread::sleep_for(std::chrono::seconds(1));
    }
  }
  void store_whole() {
    for (const std::string& name : spool_.whole()) {
      spool_.read(name, content_);
      archive_.push(context_, name, content_.view(), scratch_);
      archive_.remove_tails(context_, name, tails_);
      spool_.remove(name);
      known_bytes_ = 0;
    }
  }
  // A segment that will soon be whole by the pace at which it came so far need not be stored twice.
  [[nodiscard]] bool tail_is_due(std::chrono::nanoseconds age) const {
    if (age < flush_every_) {
      return false;
    }
    const uint64_t have = spool_.durable_bytes();
    const auto patience = flush_every_ + flush_every_ / 2 - age;
    const uint64_t come = have - std::min(have, known_bytes_);
    const auto pace = static_cast<double>(come) / static_cast<double>(age.count());
    return static_cast<double>(have) + pace * static_cast<double>(patience.count()) <
           static_cast<double>(spool_.segment_bytes());
  }
  void store_tail() {
    const auto tail = spool_.tail(tail_segment_, tail_bytes_);
    if (tail) {
      tails_.push_back(
          archive_.push_tail(context_, tail->segment, tail->begin, tail->bytes.view(), scratch_));
      tail_segment_ = tail->segment;
      tail_bytes_ = tail->begin + tail->bytes.size();
      known_bytes_ = tail_bytes_;
    }
  }
  void warn(const Error& error, bool last) {
    const MonotonicTime now = context_.clock.monotonic();
    if (!warned_ || last || now - *warned_ >= kWarnEvery) {
      warned_ = now;
      context_.events.on(Warning{fmt::format("WAL cannot be stored: {}; {} wait in the spool",
                                             error.message(), format_bytes(spool_.bytes())),
                                 last ? "It is stored when the stream is started again."
                                      : "It is tried again. " + error.hint()});
    }
  }

  const Context context_;
  const WalArchive& archive_;
  WalSpool& spool_;
  const std::chrono::nanoseconds flush_every_;
  Buffer content_;
  JournalScratch scratch_;
  std::string tail_segment_;
  uint64_t tail_bytes_ = 0;
  MonotonicTime stored_;            // all that came before is in the archive
  uint64_t known_bytes_ = 0;        // of the unfinished segment
  std::vector<std::string> tails_;  // stored by us, not yet replaced by their segment
  std::optional<MonotonicTime> warned_;
  std::jthread thread_;  // last: it uses all the others
};

struct Position {
  Timeline timeline;
  Lsn start;
};

class Streamer {
 public:
  Streamer(const Context& context, const Repository& repository, const WalStreamOptions& options)
      : context_(context), options_(options), repository_(repository) {}

  void run() {
    connect();
    system_ = postgres::identify_system(context_, *connection_).system_identifier;
    const auto size = postgres::SegmentSize::parse(connection_->show(context_, "wal_segment_size"));
    if (!size) {
      throw Error(ErrorCode::kFailed, "the server's WAL segments have an impossible size");
    }
    size_ = *size;
    const WalArchive archive(repository_, system_, size_);
    WalSpool spool(options_.spool + "/" + std::to_string(system_), size_,
                   options_.spool_limit_bytes);
    // Storing goes on after the stop, for what has been received.
    const Uploader uploader(context_.with_stop({}), archive, spool, options_.flush_every);
    while (!context_.stop.stop_requested()) {
      try {
        if (!connection_) {
          connect();
        }
        follow(archive, spool);
      } catch (const Error& error) {
        connection_.reset();
        recover_from(error);
      }
    }
  }

 private:
  void connect() {
    connection_ = std::make_unique<postgres::Connection>(
        context_, options_.target, postgres::ConnectionMode::kReplicationWithSql);
    postgres::require_supported(*connection_);
  }

  // One connection's life: along timelines, until it breaks or we are stopped.
  void follow(const WalArchive& archive, WalSpool& spool) {
    const postgres::SystemIdentity identity = postgres::identify_system(context_, *connection_);
    if (identity.system_identifier != system_) {
      throw Error(ErrorCode::kFailed, "another cluster answers at " + connection_->display(),
                  "Its WAL is another history: stop this stream and start one for it.");
    }
    const postgres::SlotState slot =
        postgres::prepare_slot(context_, *connection_, options_.slot, options_.create_slot);
    store_history(archive, identity.timeline);
    Position at = position(archive, spool, identity, slot);
    while (!context_.stop.stop_requested()) {
      if (!spool.wants_more()) {
        wait_for_room(spool);
        continue;
      }
      spool.begin(at.timeline, at.start);
      options_.on_step(
          fmt::format("streaming timeline {} from {}", at.timeline.value, at.start.text()));
      const postgres::WalStreamEnd end = postgres::stream_wal(
          context_, *connection_, {options_.slot, at.start, at.timeline}, spool);
      if (!end.next_timeline) {
        if (!context_.stop.stop_requested()) {
          if (!spool.wants_more()) {
            wait_for_room(spool);
          }
          throw Error(ErrorCode::kUnreachable, "the server has ended the stream");
        }
        return;
      }
      // The history goes first: without it the new timeline's segments cannot be used.
      store_history(archive, *end.next_timeline);
      spool.end_timeline();
      at = {*end.next_timeline,
            postgres::start_of(postgres::segment_of(end.switch_point, size_), size_)};
    }
  }

  void store_history(const WalArchive& archive, Timeline timeline) {
    if (const auto text = postgres::fetch_history(context_, *connection_, timeline)) {
      archive.push(context_, postgres::history_name(timeline), as_bytes(*text));
    }
  }

  [[nodiscard]] Position on_servers_line(Position at, Timeline current) const {
    const auto text = postgres::fetch_history(context_, *connection_, current);
    if (at.timeline == current || !text) {
      return at;
    }
    const auto history = postgres::TimelineHistory::parse(current, *text);
    const auto left = history.end_of(at.timeline);
    if (!left) {
      throw Error(ErrorCode::kFailed,
                  fmt::format("the archive is on timeline {}, which this server never was on",
                              at.timeline.value),
                  "It was recovered to another history, or is another clone. Make a new backup in "
                  "a repository of its own.");
    }
    if (at.start <= *left) {
      return at;
    }
    Timeline next = current;
    for (const postgres::TimelineSwitch& ancestor : history.ancestors()) {
      if (ancestor.timeline > at.timeline) {
        next = ancestor.timeline;
        break;
      }
    }
    return {next, postgres::start_of(postgres::segment_of(*left, size_), size_)};
  }

  // Where to go on: behind what is in the spool and the archive; at the first time, where the slot
  // begins.
  // `at`, or the place on a later timeline where this server's history left that of `at`.
  [[nodiscard]] Position position(const WalArchive& archive, const WalSpool& spool,
                                  const postgres::SystemIdentity& identity,
                                  const postgres::SlotState& slot) const {
    std::optional<std::pair<Timeline, postgres::SegmentNumber>> last;
    const auto seen = [&](Timeline timeline, postgres::SegmentNumber segment) {
      if (timeline <= identity.timeline && (!last || std::pair(timeline, segment) > *last)) {
        last = {timeline, segment};
      }
    };
    for (const WalTimeline& timeline : archive.survey(context_)) {
      if (!timeline.runs.empty()) {
        seen(timeline.timeline, timeline.runs.back().last);
      }
      if (timeline.tail && timeline.tail->value > 0) {
        seen(timeline.timeline, {timeline.tail->value - 1});
      }
    }
    for (const std::string& name : spool.whole()) {
      const auto parsed = postgres::parse_wal_file_name(name, size_);
      if (parsed->kind == postgres::WalFileKind::kSegment) {
        seen(parsed->timeline, parsed->segment);
      }
    }
    if (last) {
      return on_servers_line({last->first, postgres::start_of({last->second.value + 1}, size_)},
                             identity.timeline);
    }
    const Lsn from = slot.restart.value_or(identity.position);
    return {identity.timeline, postgres::start_of(postgres::segment_of(from, size_), size_)};
  }

  void wait_for_room(const WalSpool& spool) {
    context_.events.on(Warning{
        fmt::format("the spool is full: {} wait", format_bytes(spool.bytes())),
        "The server keeps its WAL meanwhile (pg_replication_slots shows how much). Look why the "
        "repository does not take it."});
    connection_.reset();  // it would have to be answered
    while (!context_.stop.stop_requested() && spool.bytes() * 2 > options_.spool_limit_bytes) {
      std::this_thread::sleep_for(kLook);
    }
    if (!context_.stop.stop_requested()) {
      throw Error(ErrorCode::kUnreachable, "the spool was full");
    }
  }

  // Waits before the next try, or throws on what trying does not cure.
  void recover_from(const Error& error) {
    if (context_.stop.stop_requested()) {
      return;
    }
    const auto* server = dynamic_cast<const postgres::ServerError*>(&error);
    if (server != nullptr && server->state() == kWalIsGone) {
      throw Error(ErrorCode::kDamaged,
                  "the server has thrown away WAL that is not archived: " + error.message(),
                  "There is a hole: nothing behind it can be reached from older backups. Drop the "
                  "slot, make a new backup, "
                  "start the stream again with --create-slot.");
    }
    const bool passes = error.code() == ErrorCode::kUnreachable ||
                        (server != nullptr && !server->state().starts_with("42"));
    const bool full = error.code() == ErrorCode::kStorageFull;
    if (!passes && !full) {
      throw error;
    }
    if (!full) {
      options_.on_step("waiting for the server: " + error.message());
    } else if (const MonotonicTime now = context_.clock.monotonic();
               !warned_full_ || now - *warned_full_ > kWarnEvery) {
      // What did not fit was not called flushed. Room comes when the repository takes what waits.
      warned_full_ = now;
      context_.events.on(
          Warning{error.message(),
                  "The server keeps its WAL meanwhile (pg_replication_slots shows how much); it is "
                  "tried again. " +
                      error.hint()});
    }
    const MonotonicTime until = context_.clock.monotonic() + kRetry;
    while (context_.clock.monotonic() < until && !context_.stop.stop_requested()) {
      std::this_thread::sleep_for(kLook);
    }
  }

  const Context& context_;
  const WalStreamOptions& options_;
  const Repository& repository_;
  uint64_t system_ = 0;
  postgres::SegmentSize size_;
  std::unique_ptr<postgres::Connection> connection_;
  std::optional<MonotonicTime> warned_full_;
};

}  // namespace

void run_wal_stream(const Context& context, const Repository& repository,
                    const WalStreamOptions& options) {
  Streamer(context, repository, options).run();
}

}  // namespace salvor
