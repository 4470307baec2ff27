#include "connector/postgres/physical_source.h"

#include <charconv>

#include <fmt/format.h>

#include "base/format.h"
#include "connector/postgres/damage_report.h"
#include "connector/postgres/physical_receiver.h"

namespace salvor::postgres {
namespace {

constexpr size_t kSmallFilesBytes = size_t{32} << 20;  // in memory

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 10000, version % 10000);
}

// The server's clock, from a connection that speaks SQL.
WallTime server_time(const Context& context, Connection& connection) {
  const std::string text =
      connection.run(context, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
          .text(0, 0);
  int64_t micros = 0;
  std::from_chars(text.data(), text.data() + text.size(), micros);
  return WallTime(std::chrono::microseconds(micros));
}

}  // namespace

struct PhysicalSource::State {
  PhysicalOptions options;
  std::string
      patience;  // what lets a session wait that takes no SQL, for ConnectionTarget::options
  MemoryBudget budget{kSmallFilesBytes};
  std::unique_ptr<Connection> backup;
  std::unique_ptr<Connection> helper;  // holds the slot; may speak SQL
  bool helper_has_sql = false;
  SystemIdentity identity;
  SegmentSize segment_size;
  bool page_checksums = false;
  std::string version;
  bool summarizes_wal = false;
  std::atomic<uint64_t> estimated = 0;
  BackupFacts facts;
  std::optional<EarlierBackup> earlier;
  IncrementalPlan plan;
  std::shared_ptr<BackupResults> results = std::make_shared<BackupResults>();
  TreeSink* sink = nullptr;
  std::function<void(const std::string&)> tell = [](const std::string&) {};

  void connect(const Context& context);
  [[nodiscard]] std::unique_ptr<Connection> connect_plain(const Context& context) const;
  void connect_helper(const Context& context);
  void hold_wal(const Context& context) const;
  [[nodiscard]] WallTime now(const Context& context) const;
  void choose_kind(const Context& context);
  BaseBackupStop receive(const Context& context, PhysicalReceiver& receiver,
                         const std::string& incremental_to) const;
};

PhysicalSource::PhysicalSource(const Context& context, PhysicalOptions options)
    : state_(std::make_unique<State>()) {
  state_->options = std::move(options);
  state_->connect(context);
  Connection& server = *state_->backup;
  state_->identity = identify_system(context, server);
  state_->version = version_text(server.server_version());
  const auto size = SegmentSize::parse(server.show(context, "wal_segment_size"));
  if (!size || server.show(context, "block_size") != "8192") {
    throw Error(ErrorCode::kFailed, "the server was built with a page or segment size of its own",
                "Salvor knows pages of 8 KiB and WAL segments from 1 MiB to 1 GiB.");
  }
  state_->segment_size = *size;
  state_->page_checksums = server.show(context, "data_checksums") == "on";
  state_->summarizes_wal =
      server.server_version() >= 170000 && server.show(context, "summarize_wal") == "on";
  state_->connect_helper(context);
}

PhysicalSource::~PhysicalSource() = default;

// Both sessions are idle for long: this one while the last backup is read, the other while this one
// copies. What ends idle sessions can only be switched off at the start of one without SQL.
void PhysicalSource::State::connect(const Context& context) {
  backup = connect_plain(context);
  require_supported(*backup);
  if (backup->server_version() < kIdleSessionTimeout) {
    return;
  }
  const std::string limit = backup->show(context, "idle_session_timeout");
  if (limit == "0") {
    return;
  }
  const std::string own = backup->options();
  patience = own + (own.empty() ? "" : " ") + "-c idle_session_timeout=0";
  try {
    backup = connect_plain(context);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    patience.clear();
    context.events.on(Warning{
        "the server ends sessions that are idle for " + limit +
            ", which could not be switched off for this backup: " + error.message(),
        "A backup that takes longer may fail. Set idle_session_timeout to 0 on the server."});
  }
}

std::unique_ptr<Connection> PhysicalSource::State::connect_plain(const Context& context) const {
  ConnectionTarget target = options.target;
  if (!patience.empty()) {
    target.options = patience;
    target.server = backup->server();
  }
  return std::make_unique<Connection>(context, target, ConnectionMode::kReplication);
}

void PhysicalSource::State::connect_helper(const Context& context) {
  try {
    helper =
        std::make_unique<Connection>(context, options.target, ConnectionMode::kReplicationWithSql);
    helper_has_sql = true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kCancelled) {
      throw;
    }
    helper = connect_plain(context);
    return;
  }
  allow_waiting(context, *helper);
}

// Keeps the server from recycling WAL that it has to send at the end.
void PhysicalSource::State::hold_wal(const Context& context) const {
  const std::string name =
      fmt::format("salvor_backup_{:08x}", context.random.next_u64() & UINT32_MAX);
  const bool new_syntax = helper->server_version() >= 150000;
  try {
    static_cast<void>(helper->run(context, "CREATE_REPLICATION_SLOT " + name +
                                               " TEMPORARY PHYSICAL " +
                                               (new_syntax ? "(RESERVE_WAL)" : "RESERVE_WAL")));
  } catch (const ServerError& error) {
    context.events.on(Warning{"no replication slot for the time of the backup: " + error.message(),
                              "If the server recycles WAL before it was sent, the backup fails. "
                              "Raise max_replication_slots or "
                              "wal_keep_size."});
  }
}

WallTime PhysicalSource::State::now(const Context& context) const {
  return helper_has_sql ? server_time(context, *helper) : context.clock.now();
}

std::vector<std::string> PhysicalSource::paths() const {
  return {snapshot_path(state_->identity.system_identifier)};
}

std::vector<std::string> PhysicalSource::tags() const {
  return to_tags(state_->facts);
}

// An incremental backup if there is something that it can build upon.
void PhysicalSource::State::choose_kind(const Context& context) {
  facts.turn = earlier ? earlier->facts.turn + 1 : 0;
  if (!earlier) {
    return;
  }
  if (earlier->full) {
    tell("a full backup, as was asked for");
    return;
  }
  earlier->turn = facts.turn;
  plan = plan_incremental(context, *earlier,
                          {.identity = identity,
                           .version = backup->server_version(),
                           .page_checksums = page_checksums,
                           .summarizes_wal = summarizes_wal});
  if (!plan.refusal.empty()) {
    tell("a full backup: " + plan.refusal);
  }
}

BaseBackupStop PhysicalSource::State::receive(const Context& context, PhysicalReceiver& receiver,
                                              const std::string& incremental_to) const {
  try {
    const BaseBackupStop stop = run_base_backup(context, *backup,
                                                {.label = options.label,
                                                 .fast_checkpoint = options.fast_checkpoint,
                                                 .max_rate_kib = options.max_rate_kib,
                                                 .incremental_to = incremental_to},
                                                receiver);
    receiver.finish();
    return stop;
  } catch (...) {
    receiver.fail();
    throw;
  }
}

void PhysicalSource::stream_into(const Context& context, TreeSink& sink) {
  State& state = *state_;
  state.sink = &sink;
  state.choose_kind(context);
  state.hold_wal(context);
  ReceiverOptions options{.check_pages = state.page_checksums,
                          .budget = state.budget,
                          .estimated_bytes = state.estimated,
                          .results = state.results,
                          .earlier = state.earlier ? &*state.earlier : nullptr,
                          .plan = state.plan.manifest.empty() ? nullptr : &state.plan};
  std::optional<PhysicalReceiver> receiver(std::in_place, context, sink, options);
  BaseBackupStop stop;
  if (options.plan != nullptr) {
    try {
      stop = state.receive(context, *receiver, state.plan.manifest);
      state.facts.since = state.earlier->name;
      state.tell(fmt::format("{} files of backup {} served as base, {} were read again",
                             state.plan.files.size(), state.earlier->name, state.plan.reread));
    } catch (const IncrementalRefused& refused) {
      state.tell("a full backup: " + refused.message());
      options.plan = nullptr;
      receiver.emplace(context, sink, options);
    }
  }
  if (options.plan == nullptr) {
    stop = state.receive(context, *receiver, "");
  }
  receiver->verify(state.identity.system_identifier, state.segment_size, stop);
  state.facts.system_identifier = state.identity.system_identifier;
  state.facts.version = state.version;
  state.facts.timeline = stop.timeline;
  state.facts.start = receiver->start().lsn;
  state.facts.stop = stop.lsn;
  state.facts.stop_time = state.now(context);
  state.facts.damaged = stop.damaged;
}

// Rebuilt files have been read by now.
void PhysicalSource::finish(const Context& context) {
  state_->facts.damaged = state_->facts.damaged || !state_->results->damaged().empty();
  report_damage(context, *state_->sink, *state_->results, state_->facts.damaged,
                state_->options.target, state_->helper_has_sql ? state_->helper.get() : nullptr);
  state_->helper.reset();
}

void PhysicalSource::build_upon(EarlierBackup earlier,
                                std::function<void(const std::string&)> tell) {
  state_->earlier = std::move(earlier);
  state_->tell = std::move(tell);
}

uint64_t PhysicalSource::system_identifier() const {
  return state_->identity.system_identifier;
}

const std::string& PhysicalSource::server_version() const {
  return state_->version;
}

std::string PhysicalSource::display() const {
  return state_->backup->display();
}

bool PhysicalSource::page_checksums() const {
  return state_->page_checksums;
}

uint64_t PhysicalSource::estimated_bytes() const {
  return state_->estimated;
}

const BackupFacts& PhysicalSource::facts() const {
  return state_->facts;
}

}  // namespace salvor::postgres
