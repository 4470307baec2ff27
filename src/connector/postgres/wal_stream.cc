#include "connector/postgres/wal_stream.h"

#include <bit>
#include <charconv>

namespace salvor::postgres {
namespace {

constexpr std::chrono::seconds kSyncEvery{1};
constexpr std::chrono::seconds kReportEvery{10};
// What comes is taken in lots: at so many bytes, or after so long.
constexpr int kGatherBytes = 64 << 10;
constexpr std::chrono::milliseconds kGatherFor{100};
constexpr std::string_view kNoSuchFile = "58P01";
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

// Goes through messages until the server ends the stream; false when we end it.
bool receive(const Context& context, Connection& connection, const WalStreamStart& start,
             WalReceiver& receiver) {
  Lsn expected = start.start;
  MonotonicTime synced = context.clock.monotonic();
  MonotonicTime reported = synced;
  Silence silence(start.silence, synced);
  Lsn told{};
  for (;;) {
    // Ends the waiting, not the protocol: what was received is reported below, under a token that
    // has not fired.
    if (context.stop.stop_requested() || !receiver.wants_more()) {
      return false;
    }
    const Context calm = context.with_stop({});
    const auto message = connection.receive(calm, context.clock.monotonic() + kGatherFor);
    if (!message) {
      return true;
    }
    bool reply = false;
    bool ask = false;
    if (message->empty()) {
      ask = silence.must_ask(context.clock.monotonic(), connection);
    } else {
      silence.broken(context.clock.monotonic());
      const char type = std::to_integer<char>((*message)[0]);
      if (type == 'w') {
        const Lsn at{load_u64be(*message, 1)};
        if (at != expected) {
          fail("WAL from " + at.text() + " where " + expected.text() + " should follow");
        }
        const ByteView bytes = message->subspan(25);
        receiver.wal(at, bytes);
        expected.value += bytes.size();
      } else if (type == 'k') {
        static_cast<void>(load_u64be(*message, 1));
        reply = message->size() > 17 && (*message)[17] != std::byte{0};
      }
    }
    const MonotonicTime now = context.clock.monotonic();
    if (reply || ask || now - synced >= kSyncEvery) {
      const Lsn flushed = receiver.sync();
      synced = now;
      if (reply || ask || flushed != told || now - reported >= kReportEvery) {
        report(calm, connection, flushed, ask);
        told = flushed;
        reported = now;
      }
    }
  }
}

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
  const bool ended = receive(context, connection, start, receiver);
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
