#include "connector/postgres/base_backup.h"

#include <charconv>
#include <optional>

namespace salvor::postgres {
namespace {

constexpr std::string_view kDataCorrupted = "XX001";

[[noreturn]] void fail(const std::string& what) {
  throw Error(ErrorCode::kFailed, "the server does not keep to the protocol: " + what);
}

template <class Number>
Number number(const std::string& text) {
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    fail("\"" + text + "\" where a number should be");
  }
  return value;
}

Lsn lsn(const std::string& text) {
  const auto value = Lsn::parse(text);
  if (!value) {
    fail("\"" + text + "\" where a log position should be");
  }
  return *value;
}

std::string command_text(const Connection& connection, const BaseBackupOptions& options) {
  const std::string label = connection.quote_literal(options.label);
  const std::string rate = std::to_string(options.max_rate_kib);
  // WAIT 0: the WAL comes with the archives or is looked after by the caller, who need not wait for
  // archive_command.
  if (connection.server_version() >= 150000) {
    return "BASE_BACKUP (LABEL " + label + ", PROGRESS, CHECKPOINT '" +
           (options.fast_checkpoint ? "fast" : "spread") +
           "', WAIT 0, MANIFEST 'yes', TABLESPACE_MAP, TARGET 'client'" +
           (options.include_wal ? ", WAL" : "") +
           (options.incremental_to.empty() ? "" : ", INCREMENTAL") +
           (options.max_rate_kib > 0 ? ", MAX_RATE " + rate : "") + ")";
  }
  return "BASE_BACKUP LABEL " + label + " PROGRESS" + (options.fast_checkpoint ? " FAST" : "") +
         (options.include_wal ? " WAL" : "") + " NOWAIT" +
         (options.max_rate_kib > 0 ? " MAX_RATE " + rate : "") + " TABLESPACE_MAP MANIFEST 'yes'";
}

void expect(Step step, Step wanted, const char* what) {
  if (step != wanted) {
    fail(what);
  }
}

void upload_manifest(const Context& context, Connection& connection, const std::string& manifest) {
  constexpr size_t kMessage = size_t{64} << 10;
  connection.begin(context, "UPLOAD_MANIFEST");
  expect(connection.next(context), Step::kCopyIn, "no answer to UPLOAD_MANIFEST");
  for (size_t at = 0; at < manifest.size(); at += kMessage) {
    connection.send(context, as_bytes(std::string_view(manifest).substr(at, kMessage)));
  }
  connection.end_copy(context);
  expect(connection.next(context), Step::kDone, "no end of UPLOAD_MANIFEST");
  expect(connection.next(context), Step::kEnd, "something after UPLOAD_MANIFEST");
}

BaseBackupStart read_start(const Context& context, Connection& connection) {
  BaseBackupStart start;
  expect(connection.next(context), Step::kRows, "no start position");
  start.lsn = lsn(connection.result().text(0, 0));
  start.timeline = {number<uint32_t>(connection.result().text(0, 1))};
  expect(connection.next(context), Step::kRows, "no list of tablespaces");
  const ResultSet& rows = connection.result();
  for (size_t row = 0; row < rows.rows.size(); ++row) {
    if (rows.rows[row].at(0)) {
      start.tablespaces.push_back({number<uint32_t>(rows.text(row, 0)), rows.text(row, 1)});
    }
    if (rows.rows[row].at(2)) {
      start.estimated_bytes += number<uint64_t>(rows.text(row, 2)) << 10U;
    }
  }
  return start;
}

// The text up to the first zero byte, taken off `bytes` with it.
std::string take_text(ByteView& bytes) {
  const std::string_view all = as_text(bytes);
  const size_t end = all.find('\0');
  if (end == std::string_view::npos) {
    fail("a text without an end");
  }
  bytes = bytes.subspan(end + 1);
  return std::string(all.substr(0, end));
}

// "16400.tar" -> 16400, "base.tar" -> 0
uint32_t archive_oid(const std::string& name) {
  if (name == "base.tar") {
    return 0;
  }
  if (!name.ends_with(".tar")) {
    fail("an archive of an unknown kind");
  }
  return number<uint32_t>(name.substr(0, name.size() - 4));
}

// 15 and later: one COPY in which every message begins with its type.
void receive_archives(const Context& context, Connection& connection,
                      BaseBackupReceiver& receiver) {
  expect(connection.next(context), Step::kCopyOut, "no archives");
  bool in_archive = false;
  bool in_manifest = false;
  while (const auto message = connection.receive(context)) {
    const char type = message->empty() ? '\0' : std::to_integer<char>((*message)[0]);
    ByteView body = message->subspan(message->empty() ? 0 : 1);
    switch (type) {
      case 'd':
        if (in_manifest) {
          receiver.manifest(body);
        } else if (in_archive) {
          receiver.data(body);
        } else {
          fail("data of no archive");
        }
        break;
      case 'p':
        break;  // bytes done; we count ourselves
      case 'n':
      case 'm':
        if (in_archive) {
          receiver.archive_end();
        }
        in_archive = type == 'n';
        in_manifest = type == 'm';
        if (in_archive) {
          receiver.archive(archive_oid(take_text(body)));
        }
        break;
      default:
        fail("a message of an unknown type");
    }
  }
  if (!in_manifest) {
    static_cast<void>(connection.next(context));  // throws the server's reason
    fail("no manifest");
  }
}

// 13 and 14: one COPY an archive, in the order of the list; the manifest is one more.
void receive_archives_before_15(const Context& context, Connection& connection,
                                const std::vector<uint32_t>& order, BaseBackupReceiver& receiver) {
  for (const uint32_t oid : order) {
    expect(connection.next(context), Step::kCopyOut, "no archive");
    receiver.archive(oid);
    while (const auto message = connection.receive(context)) {
      receiver.data(*message);
    }
    receiver.archive_end();
  }
  expect(connection.next(context), Step::kCopyOut, "no manifest");
  while (const auto message = connection.receive(context)) {
    receiver.manifest(*message);
  }
}

BaseBackupStop read_stop(const Context& context, Connection& connection) {
  BaseBackupStop stop;
  expect(connection.next(context), Step::kRows, "no stop position");
  stop.lsn = lsn(connection.result().text(0, 0));
  stop.timeline = {number<uint32_t>(connection.result().text(0, 1))};
  try {
    expect(connection.next(context), Step::kDone, "no end");
    expect(connection.next(context), Step::kEnd, "something after the end");
  } catch (const ServerError& error) {
    if (error.state() != kDataCorrupted) {
      throw;
    }
    stop.damaged = true;
  }
  return stop;
}

}  // namespace

namespace {

BaseBackupStart start_backup(const Context& context, Connection& connection,
                             const BaseBackupOptions& options) {
  if (options.incremental_to.empty()) {
    connection.begin(context, command_text(connection, options));
    return read_start(context, connection);
  }
  try {
    upload_manifest(context, connection, options.incremental_to);
    connection.begin(context, command_text(connection, options));
    return read_start(context, connection);
  } catch (const ServerError& error) {
    if (error.code() == ErrorCode::kUnreachable) {
      throw;
    }
    while (connection.next(context) != Step::kEnd) {
    }
    throw IncrementalRefused(error.code(), error.message(), error.hint());
  }
}

}  // namespace

BaseBackupStop run_base_backup(const Context& context, Connection& connection,
                               const BaseBackupOptions& options, BaseBackupReceiver& receiver) {
  const BaseBackupStart start = start_backup(context, connection, options);
  receiver.started(start);
  if (connection.server_version() >= 150000) {
    receive_archives(context, connection, receiver);
  } else {
    // The list's order: every row is one archive, the data directory last.
    std::vector<uint32_t> order;
    for (const TablespaceLocation& tablespace : start.tablespaces) {
      order.push_back(tablespace.oid);
    }
    order.push_back(0);
    receive_archives_before_15(context, connection, order, receiver);
  }
  return read_stop(context, connection);
}

}  // namespace salvor::postgres
