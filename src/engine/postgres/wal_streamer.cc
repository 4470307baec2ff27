#include "engine/postgres/wal_streamer.h"

#include <algorithm>
#include <map>
#include <set>
#include <thread>

#include <fmt/format.h>

#include "base/format.h"
#include "connector/postgres/wal_segment.h"
#include "engine/postgres/wal_spool.h"
#include "engine/postgres/wal_uploader.h"

namespace salvor {
namespace {

using postgres::Lsn;
using postgres::Timeline;

constexpr std::chrono::milliseconds kLook{100};
constexpr std::chrono::seconds kRetry{2};
constexpr std::chrono::seconds kWarnEvery{60};
constexpr std::string_view kWalIsGone = "58P01";
constexpr uint64_t kPage = postgres::kWalPageBytes;

// Where to begin.
struct Position {
  Timeline timeline;
  Lsn start;  // of a segment
  Lsn known;  // so far at least we have seen the log of this timeline
};

// Whether two histories tell the same of where a timeline came from.
bool same_line(const postgres::TimelineHistory& left, const postgres::TimelineHistory& right) {
  return std::equal(left.ancestors().begin(), left.ancestors().end(), right.ancestors().begin(),
                    right.ancestors().end(),
                    [](const postgres::TimelineSwitch& one, const postgres::TimelineSwitch& other) {
                      return one.timeline == other.timeline && one.end == other.end;
                    });
}

class Streamer {
 public:
  Streamer(const Context& context, const Repository& repository, const WalStreamOptions& options)
      : context_(context), options_(options), repository_(repository) {}

  void run() {
    connect_and_rescue();
    const WalArchive archive(repository_, system_, size_);
    const std::unique_ptr<WalSpool> spool = open_spool();
    if (!spool) {
      return;
    }
    // Storing goes on after the stop, for what has been received.
    WalUploader uploader(context_.with_stop({}), archive, *spool, options_.flush_every);
    const SpoolRescue others(context_, repository_, options_.spool, system_);
    while (!context_.stop.stop_requested()) {
      try {
        if (!connection_) {
          connect();
        }
        follow(archive, *spool);
      } catch (const Error& error) {
        connection_.reset();
        keep_received(*spool);
        uploader.hurry();
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

  // The server tells whose WAL it is. When there is none any more, what is in the spools is stored
  // all the same.
  void connect_and_rescue() {
    SpoolRescue rescue(context_, repository_, options_.spool, 0);
    connect();
    system_ = postgres::identify_system(context_, *connection_).system_identifier;
    const auto size = postgres::SegmentSize::parse(connection_->show(context_, "wal_segment_size"));
    if (!size) {
      throw Error(ErrorCode::kFailed, "the server's WAL segments have an impossible size");
    }
    size_ = *size;
    rescue.stop();  // the uploader takes over while more is received
  }

  // Waits for its lock: who has it may be another salvor that stores what was left there. Nothing
  // when we are stopped.
  [[nodiscard]] std::unique_ptr<WalSpool> open_spool() {
    bool told = false;
    while (!context_.stop.stop_requested()) {
      try {
        return std::make_unique<WalSpool>(options_.spool + "/" + std::to_string(system_), size_,
                                          options_.spool_limit_bytes);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kLocked) {
          throw;
        }
        if (!told) {
          connection_.reset();  // it would not be answered
          options_.on_step("waiting: " + error.message());
          told = true;
        }
      }
      std::this_thread::sleep_for(kLook);
    }
    return nullptr;
  }

  // One connection's life: along timelines, until it breaks or we are stopped.
  void follow(const WalArchive& archive, WalSpool& spool) {
    // Asked first: a standby that is promoted in between counts as one, which excuses more.
    const bool standby = postgres::is_in_recovery(context_, *connection_);
    const postgres::SystemIdentity identity = postgres::identify_system(context_, *connection_);
    if (identity.system_identifier != system_) {
      throw Error(ErrorCode::kFailed, "another cluster answers at " + connection_->display(),
                  "Its WAL is another history: stop this stream and start one for it.");
    }
    const std::optional<Position> before = position(archive, spool, identity);
    if (before && !standby) {
      require_not_set_back(*before, identity);
    }
    const postgres::SlotState slot =
        postgres::prepare_slot(context_, *connection_, options_.slot, options_.create_slot);
    Position at = before
                      ? on_servers_line(*before, identity.timeline)
                      : beginning_at(identity.timeline, slot.restart.value_or(identity.position));
    keep_histories(spool, identity.timeline);
    while (!context_.stop.stop_requested()) {
      if (!spool.wants_more()) {
        wait_for_room(spool);
        continue;
      }
      spool.begin(at.timeline, at.start);
      options_.on_step(
          fmt::format("streaming timeline {} from {}", at.timeline.value, at.start.text()));
      const postgres::WalStreamEnd end = postgres::stream_wal(
          context_, *connection_, {options_.slot, at.start, at.timeline, options_.silence}, spool);
      if (!end.next_timeline) {
        if (!context_.stop.stop_requested()) {
          if (!spool.wants_more()) {
            wait_for_room(spool);
          }
          throw Error(ErrorCode::kUnreachable, "the server has ended the stream");
        }
        return;
      }
      keep_history(spool, *end.next_timeline);
      spool.end_timeline();
      at = beginning_at(*end.next_timeline, end.switch_point);
    }
  }

  [[nodiscard]] Position beginning_at(Timeline timeline, Lsn lsn) const {
    const Lsn start = postgres::start_of(postgres::segment_of(lsn, size_), size_);
    return {timeline, start, start};
  }

  // A server that is not in recovery has all that it ever sent. With less it was set back, and what
  // it writes now is another history under the old name.
  static void require_not_set_back(const Position& at, const postgres::SystemIdentity& identity) {
    if (at.timeline == identity.timeline && at.known > identity.position) {
      throw Error(ErrorCode::kDamaged,
                  fmt::format("the server is at {} of timeline {}, which was received up to {}",
                              identity.position.text(), identity.timeline.value, at.known.text()),
                  kOtherHistoryHint);
    }
  }

  // The histories of a timeline and of all that it came from go into the spool, and from there into
  // the archive before the segments that cannot be used without them: whatever was promoted while
  // nobody streamed.
  void keep_histories(WalSpool& spool, Timeline current) {
    const auto text = postgres::fetch_history(context_, *connection_, current);
    if (!text) {
      if (current.value > 1 && !archived_histories_.contains(current)) {
        context_.events.on(
            Warning{"the server does not have " + postgres::history_name(current),
                    "Without it the WAL of this timeline cannot be recovered to. Put it into the "
                    "server's pg_wal directory and push it with `salvor wal push`."});
      }
      return;
    }
    const auto history = postgres::TimelineHistory::parse(current, *text);
    for (const postgres::TimelineSwitch& ancestor : history.ancestors()) {
      keep_history(spool, ancestor.timeline);
    }
    keep_history(spool, current);
  }

  void keep_history(WalSpool& spool, Timeline timeline) {
    if (kept_histories_.contains(timeline)) {
      return;
    }
    const auto text = postgres::fetch_history(context_, *connection_, timeline);
    if (!text) {
      return;
    }
    const auto archived = archived_histories_.find(timeline);
    if (archived == archived_histories_.end()) {
      spool.keep_history(timeline, *text);
    } else if (!same_line(archived->second, postgres::TimelineHistory::parse(timeline, *text))) {
      throw Error(
          ErrorCode::kFailed,
          fmt::format("the archive's timeline {} is another one than this server's",
                      timeline.value),
          "Two servers were promoted to the same number. Make a new backup of this one in a "
          "repository of its own.");
    }
    kept_histories_.insert(timeline);
  }

  // `at`, or the place on a later timeline where this server's history left that of `at`.
  [[nodiscard]] Position on_servers_line(Position at, Timeline current) const {
    if (at.timeline == current) {
      return at;
    }
    const auto text = postgres::fetch_history(context_, *connection_, current);
    if (!text) {
      throw Error(ErrorCode::kFailed,
                  "the server does not have " + postgres::history_name(current) +
                      ", so nobody can tell where its timeline began",
                  "Put the file into its pg_wal directory, from an archive or another server.");
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
    return beginning_at(next, *left);
  }

  // Where to go on: where this run was, else behind what is in the archive and the spool; nothing
  // when there is nothing yet. The storage is asked at the first connection only, so that it may be
  // away at the others.
  [[nodiscard]] std::optional<Position> position(const WalArchive& archive, const WalSpool& spool,
                                                 const postgres::SystemIdentity& identity) {
    const auto here = spool.resume();
    std::optional<Position> at;
    if (here && here->timeline <= identity.timeline) {
      at = {here->timeline, here->lsn, here->lsn};
    } else {
      at = archived_position(archive, spool, identity.timeline);
    }
    const auto reached = spool.reached();
    if (at && reached && reached->timeline == at->timeline) {
      at->known = std::max(at->known, reached->lsn);
    }
    return at;
  }

  [[nodiscard]] std::optional<Position> archived_position(const WalArchive& archive,
                                                          const WalSpool& spool, Timeline newest) {
    std::optional<std::pair<Timeline, postgres::SegmentNumber>> last;
    const auto seen = [&](Timeline timeline, postgres::SegmentNumber segment) {
      if (timeline <= newest && (!last || std::pair(timeline, segment) > *last)) {
        last = {timeline, segment};
      }
    };
    // The spool first: what leaves it meanwhile is in the archive by then.
    for (const std::string& name : spool.whole()) {
      const auto parsed = postgres::parse_wal_file_name(name, size_);
      if (parsed->kind == postgres::WalFileKind::kSegment) {
        seen(parsed->timeline, parsed->segment);
      }
    }
    const std::vector<WalTimeline> archived = archive.survey(context_);
    for (const WalTimeline& timeline : archived) {
      if (timeline.history) {
        archived_histories_.emplace(timeline.timeline, *timeline.history);
      }
      if (!timeline.runs.empty()) {
        seen(timeline.timeline, timeline.runs.back().last);
      }
      if (timeline.tail && timeline.tail->value > 0) {
        seen(timeline.timeline, {timeline.tail->value - 1});
      }
    }
    if (!last) {
      return std::nullopt;
    }
    const postgres::SegmentNumber next{last->second.value + 1};
    Position at = beginning_at(last->first, postgres::start_of(next, size_));
    for (const WalTimeline& timeline : archived) {
      if (timeline.timeline == at.timeline && timeline.tail == next) {
        // A piece's last page may be an estimate (wal_spool.h).
        at.known.value += timeline.tail_bytes / kPage * kPage;
      }
    }
    return at;
  }

  // The server may never send it again.
  void keep_received(WalSpool& spool) const {
    try {
      static_cast<void>(spool.sync());
    } catch (const Error& error) {
      context_.events.on(Warning{error.message(), error.hint()});
    }
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
  std::map<Timeline, postgres::TimelineHistory> archived_histories_;
  std::set<Timeline> kept_histories_;  // by this run
  std::optional<MonotonicTime> warned_full_;
};

}  // namespace

void run_wal_stream(const Context& context, const Repository& repository,
                    const WalStreamOptions& options) {
  Streamer(context, repository, options).run();
}

}  // namespace salvor
