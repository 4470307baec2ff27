// Receives WAL as the server writes it: START_REPLICATION on a physical slot.
//
// Source: PostgreSQL's documentation, "Streaming Replication Protocol".
#pragma once

#include <optional>
#include <string>

#include "connector/postgres/connection.h"

namespace salvor::postgres {

class WalReceiver {
 public:
  virtual ~WalReceiver() = default;
  // Bytes of the log, without gaps.
  virtual void wal(Lsn at, ByteView bytes) = 0;
  // Makes everything received durable here and returns its end. Only that is reported as flushed:
  // the server may throw away what lies before.
  [[nodiscard]] virtual Lsn sync() = 0;
  // Whether to go on; asked about once a second.
  [[nodiscard]] virtual bool wants_more() { return true; }
};

struct WalStreamStart {
  std::string slot;
  Lsn start;  // of a segment, so that files are whole
  Timeline timeline;
  // How long the server may say nothing, asked or not, until the connection counts as broken: a
  // machine or a network that has gone away tells nobody.
  std::chrono::nanoseconds silence = std::chrono::seconds(60);
};

// How a stream ended: at the end of its timeline (then there is a next one), or because the server
// or we closed it.
struct WalStreamEnd {
  std::optional<Timeline> next_timeline;
  Lsn switch_point;
};

// Blocks. Throws ServerError (58P01: the WAL asked for is gone), Error{kUnreachable} when the
// connection breaks or the server is silent for too long. Returns when the context is stopped, with
// all that the server had written by then, as far as that comes within two seconds; the last
// position was reported.
WalStreamEnd stream_wal(const Context& context, Connection& connection, const WalStreamStart& start,
                        WalReceiver& receiver);

struct SlotState {
  std::optional<Lsn> restart;  // nothing: the slot has reserved nothing yet
};

// The slot of that name; made (keeping WAL from now on) when there is none and `create` is set.
// Throws Error{kNotFound} when there is none. `connection` speaks SQL.
SlotState prepare_slot(const Context& context, Connection& connection, const std::string& name,
                       bool create);

// Whether the server is in recovery: then its log may end before what others have of it.
[[nodiscard]] bool is_in_recovery(const Context& context, Connection& connection);

// The history file of a timeline; nothing for timeline 1, which has none, and where the server does
// not have it: one that was recovered has only those that it met.
[[nodiscard]] std::optional<std::string> fetch_history(const Context& context,
                                                       Connection& connection, Timeline timeline);

}  // namespace salvor::postgres
