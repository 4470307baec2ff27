#include "connector/postgres/wal_stream.h"

#include <bit>
#include <charconv>
#include <utility>

namespace salvor::postgres {
namespace {

constexpr std::chrono::seconds kSyncEvery{1};
constexpr std::chrono::seconds kReportEvery{10};
// What comes is taken in lots: at so many bytes, or after so long.
constexpr int kGatherBytes = 256 << 10;
constexpr std::chrono::milliseconds kGatherFor{100};
// How long a stop may take for what the server has written by then.
constexpr std::chrono::seconds kFarewell{2};
constexpr std::string_view kNoSuchFile = "58P01";
constexpr size_t kDataHeaderBytes = 25;      // type, position, end of the server's log, its clock
constexpr int64_t kEpoch2000 = 946'684'800;  // seconds from 1970 to PostgreSQL's zero

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kFailed, "the server does not keep to the protocol: " + what);
}

uint64_t load_u64be(ByteView bytes, size_t at) {
  uint64_t value = 0;
  if (bytes.size() < at + sizeof value) {
    fail("a message is too short");
  }
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return __builtin_bswap64(value);
}

void append_u64be(Buffer& out, uint64_t value) {
  const uint64_t swapped = __builtin_bswap64(value);
  out.append(ByteView(reinterpret_cast<const std::byte*>(&swapped), sizeof swapped));
}

// "r": written and flushed up to `flushed`, nothing applied. `ask`: the server shall answer at
// once.
void report(const Context& context, Connection& connection, Lsn flushed, bool ask = false) {
  Buffer message;
  message.append("r");
  append_u64be(message, flushed.value);
  append_u64be(message, flushed.value);
  append_u64be(message, 0);
  const auto now = std::chrono::floor<std::chrono::microseconds>(context.clock.now());
  append_u64be(message, static_cast<uint64_t>(now.time_since_epoch().count() -
                                              kEpoch2000 * int64_t{1'000'000}));
  message.append(std::string_view(ask ? "\1" : "\0", 1));
  connection.send(context, message.view());
}

WalStreamEnd read_end(const Context& context, Connection& connection) {
  WalStreamEnd end;
  for (;;) {
    switch (connection.next(context)) {
      case Step::kCopyIn:
        connection.end_copy(context);
        break;
      case Step::kRows: {
        const std::string& timeline = connection.result().text(0, 0);
        uint32_t number = 0;
        std::from_chars(timeline.data(), timeline.data() + timeline.size(), number);
        const auto lsn = Lsn::parse(connection.result().text(0, 1));
        if (number == 0 || !lsn) {
          fail("a timeline without a number");
        }
        end = {Timeline{number}, *lsn};
        break;
      }
      case Step::kEnd:
        return end;
      default:
        break;
    }
  }
}

// When the server was last heard, and whether it was asked since. The time that counts begins with
// the question: until then we may have been busy ourselves.
class Silence {
 public:
  Silence(std::chrono::nanoseconds limit, MonotonicTime now) : half_(limit / 2), since_(now) {}
  void broken(MonotonicTime now) {
    since_ = now;
    asked_ = false;
  }
  // Nothing has come: whether to ask. Throws when that was long ago.
  [[nodiscard]] bool must_ask(MonotonicTime now, const Connection& connection) {
    if (now - since_ < half_) {
      return false;
    }
    if (asked_) {
      throw Error(ErrorCode::kUnreachable,
                  "the server at " + connection.display() + " does not answer any more",
                  "Look whether it runs, and at the network in between.");
    }
    since_ = now;
    asked_ = true;
    return true;
  }

 private:
  const std::chrono::nanoseconds half_;
  MonotonicTime since_;
  bool asked_ = false;
};

// The end of a stream that was asked to stop: what had been committed by then is still taken. The
// server answers a question before it sends what was written meanwhile, and tells with all that it
// sends how far its log goes: after its second answer we have heard of everything from before the
// first question, and take it up to there.
class Farewell {
 public:
  explicit Farewell(MonotonicTime now) : until_(now + kFarewell) {}
  // Returns whether to ask once more.
  [[nodiscard]] bool answered() { return ++answers_ < kAnswers; }
  void heard_of(Lsn end) {
    if (answers_ < kAnswers) {
      target_ = std::max(target_, end);
    }
  }
  [[nodiscard]] bool done(Lsn received, MonotonicTime now) const {
    return (answers_ >= kAnswers && received >= target_) || now >= until_;
  }

 private:
  static constexpr int kAnswers = 2;
  const MonotonicTime until_;
  int answers_ = 0;
  Lsn target_{};
};

// A stream from its first message on.
class Stream {
 public:
  Stream(const Context& context, Connection& connection, const WalStreamStart& start,
         WalReceiver& receiver)
      : context_(context),
        connection_(connection),
        receiver_(receiver),
        expected_(start.start),
        synced_(context.clock.monotonic()),
        reported_(synced_),
        silence_(start.silence, synced_) {}

  // Goes through messages until the server ends the stream; false when we end it. They may be
  // thousands a second: the clock is read once for each, and may be late by one wait.
  bool follow() {
    for (;;) {
      const MonotonicTime now = context_.clock.monotonic();
      if (!farewell_ && context_.stop.stop_requested()) {
        farewell_.emplace(now);
        connection_.gather(1);
        ask_ = true;
        tell(now);
      }
      if (!receiver_.wants_more() || (farewell_ && farewell_->done(expected_, now))) {
        return false;
      }
      const auto message = connection_.receive(calm_, now + kGatherFor);
      if (!message) {
        return true;
      }
      if (message->empty()) {
        ask_ = silence_.must_ask(now, connection_);
      } else {
        silence_.broken(now);
        take(*message);
      }
      tell(now);
    }
  }

 private:
  void take(ByteView message) {
    const char type = std::to_integer<char>(message[0]);
    if (type == 'w') {
      if (message.size() < kDataHeaderBytes) {
        fail("a message is too short");
      }
      const Lsn at{load_u64be(message, 1)};
      if (at != expected_) {
        fail("WAL from " + at.text() + " where " + expected_.text() + " should follow");
      }
      if (farewell_) {
        farewell_->heard_of(Lsn{load_u64be(message, 9)});
      }
      const ByteView bytes = message.subspan(kDataHeaderBytes);
      receiver_.wal(at, bytes);
      expected_.value += bytes.size();
    } else if (type == 'k') {
      static_cast<void>(load_u64be(message, 1));
      reply_ = message.size() > 17 && message[17] != std::byte{0};
      ask_ = farewell_ && farewell_->answered();
    }
  }

  // Reports what is durable, when it is time or somebody waits for it.
  void tell(MonotonicTime now) {
    const bool at_once = std::exchange(reply_, false) || ask_;
    if (!at_once && now - synced_ < kSyncEvery) {
      return;
    }
    const Lsn flushed = receiver_.sync();
    synced_ = now;
    if (at_once || flushed != told_ || now - reported_ >= kReportEvery) {
      report(calm_, connection_, flushed, std::exchange(ask_, false));
      told_ = flushed;
      reported_ = now;
    }
  }

  const Context& context_;
  // A stop ends the waiting, not the protocol: what was received is reported.
  const Context calm_ = context_.with_stop({});
  Connection& connection_;
  WalReceiver& receiver_;
  Lsn expected_;
  Lsn told_{};
  MonotonicTime synced_;
  MonotonicTime reported_;
  Silence silence_;
  std::optional<Farewell> farewell_;
  bool reply_ = false;  // the server wants a report
  bool ask_ = false;    // we want an answer to the next one
};

}  // namespace

WalStreamEnd stream_wal(const Context& context, Connection& connection, const WalStreamStart& start,
                        WalReceiver& receiver) {
  connection.begin(context, "START_REPLICATION SLOT " + Connection::quote_identifier(start.slot) +
                                " PHYSICAL " + start.start.text() + " TIMELINE " +
                                std::to_string(start.timeline.value));
  const Step first = connection.next(context);
  if (first == Step::kRows) {  // the timeline ends just here
    WalStreamEnd end{Timeline{}, {}};
    const std::string& timeline = connection.result().text(0, 0);
    uint32_t number = 0;
    std::from_chars(timeline.data(), timeline.data() + timeline.size(), number);
    end.next_timeline = Timeline{number};
    end.switch_point = Lsn::parse(connection.result().text(0, 1)).value_or(start.start);
    while (connection.next(context) != Step::kEnd) {
    }
    return end;
  }
  if (first != Step::kCopyBoth) {
    fail("no stream");
  }
  connection.gather(kGatherBytes);
  const bool ended = Stream(context, connection, start, receiver).follow();
  connection.gather(1);
  const Lsn flushed = receiver.sync();
  if (!ended) {
    report(context.with_stop({}), connection, flushed);
    return {};
  }
  return read_end(context, connection);
}

SlotState prepare_slot(const Context& context, Connection& connection, const std::string& name,
                       bool create) {
  const auto look = [&] {
    return connection.run(
        context,
        "SELECT restart_lsn::text, slot_type FROM pg_replication_slots WHERE slot_name = " +
            connection.quote_literal(name));
  };
  ResultSet found = look();
  if (found.rows.empty()) {
    if (!create) {
      throw Error(ErrorCode::kNotFound, "the server has no replication slot \"" + name + "\"",
                  "Give --create-slot once. If there was one, WAL may have been lost since: "
                  "`salvor wal verify` tells, and "
                  "a new backup makes it good.");
    }
    const bool new_syntax = connection.server_version() >= 150000;
    static_cast<void>(
        connection.run(context, "CREATE_REPLICATION_SLOT " + Connection::quote_identifier(name) +
                                    " PHYSICAL " + (new_syntax ? "(RESERVE_WAL)" : "RESERVE_WAL")));
    found = look();
  }
  if (found.rows.empty() || found.text(0, 1) != "physical") {
    throw Error(ErrorCode::kFailed, "the replication slot \"" + name + "\" is not a physical one");
  }
  SlotState state;
  if (found.rows[0][0]) {
    state.restart = Lsn::parse(*found.rows[0][0]);
  }
  return state;
}

std::optional<std::string> fetch_history(const Context& context, Connection& connection,
                                         Timeline timeline) {
  if (timeline.value <= 1) {
    return std::nullopt;
  }
  try {
    return connection.run(context, "TIMELINE_HISTORY " + std::to_string(timeline.value)).text(0, 1);
  } catch (const ServerError& error) {
    if (error.state() != kNoSuchFile) {
      throw;
    }
  }
  return std::nullopt;
}

bool is_in_recovery(const Context& context, Connection& connection) {
  return connection.run(context, "SELECT pg_is_in_recovery()").text(0, 0) == "t";
}

}  // namespace salvor::postgres
