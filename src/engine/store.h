// What the application's commands, plans and drills may ask of a protected store, whatever it is:
// the only place where they meet. A kind of store ("files", "postgres") is one StoreKind with its
// field table; a new one is added to the list in store_kinds and nowhere else.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/error.h"
#include "model/application.h"
#include "model/run_record.h"

namespace salvor {

// The point that is asked for.
struct Moment {
  enum Kind : uint8_t {
    kLatest,    // all there is
    kAt,        // the state at `time`: with a log exactly then, otherwise the last before it
    kSnapshot,  // `text`: an id or the beginning of one
    kLabel,     // `text`: the newest backup with this label
    kPosition,  // `text`: in the store's own terms ("lsn:0/3000028", "xid:741", "name:before")
  };
  Kind kind = kLatest;
  WallTime time;
  std::string text;

  // "latest", "label:pre-migration", "snapshot:ab12", "lsn:...", a time as
  // recovery_target.h's parse_target_time takes it. Throws Error{kUsage}.
  [[nodiscard]] static Moment parse(std::string_view text);
  [[nodiscard]] std::string display() const;
};

// What can be reached from one snapshot on.
struct RecoveryRange {
  std::string snapshot;     // full id
  WallTime captured;        // the snapshot's c
  WallTime until;           // moved on by a contiguous log; without one: `captured`
  WallTime durable;         // when the snapshot was
  bool open_ended = false;  // a log is followed right now, as far as the repository shows
  uint64_t bytes = 0;       // to be restored
  std::string label;
  std::vector<std::string> tags;
  bool damaged = false;  // marked by the backup itself
  std::string gap;       // why the log ends at `until`, where something is missing; else empty
};

struct BackupOrder {
  std::string label;
  std::chrono::seconds keep{0};  // of a labelled one; 0: as the policy says
  bool full = false;
  bool dry_run = false;
};

// What a restore should do to its target.
enum class OldData : uint8_t {
  kRefuse,     // there must be none
  kMoveAside,  // kept until `discard_old` or `put_back`
  kOverwrite,  // changed into the new one, only what differs is written; it is lost
};

struct RestoreOrder {
  Moment moment;
  std::string base;  // full id of the snapshot to start from; empty: the best for `moment`
  // Names this restore across crashes; empty: none. An order with the key of one that was
  // interrupted finishes that one: what it had moved aside stays the old data, what it had restored
  // so far may be thrown away or used. With the key of one that was finished, it is done again.
  std::string key;
  OldData old_data = OldData::kRefuse;
  Settings target;                     // against the kind's target_fields
  std::vector<std::string> selection;  // paths, tables ...: what the kind knows; empty: all
  bool dry_run = false;
  std::function<void(const std::string&)> on_step;  // one sentence a step
  // (done, total) bytes; total 0: not known. From any thread.
  std::function<void(uint64_t, uint64_t)> on_bytes;
};

struct RestoreOutcome {
  std::string snapshot;
  std::optional<WallTime> reached;  // until when the data is
  uint64_t restored_bytes = 0;
  uint64_t written_bytes = 0;
  std::string old_data;  // where the old data is now; empty: nowhere
  std::vector<CheckResult> checks;
  TextMap facts;
};

// A sandbox that outlives whoever made it.
struct KeptStore {
  std::vector<std::string> enter;    // commands, for a look at it
  std::vector<std::string> outside;  // what it made besides the sandbox's directory: goes with it
};

// A restored store that runs and can be asked and broken, for verification and drills. Everything
// it made (processes, directories) is gone with it. Thread-compatible.
class SandboxedStore {
 public:
  virtual ~SandboxedStore() = default;
  // What others need to use it: "url", "directory", "socket", "port".
  [[nodiscard]] virtual TextMap outputs() const = 0;
  // What the last restore into it was: of opening it, or `recover`. Facts "restore-seconds" and
  // "log-seconds" are how long its parts took.
  [[nodiscard]] virtual RestoreOutcome restored() const = 0;
  // The store's own integrity checks and the source's assertions; where something was broken on
  // purpose, also that all is as restored. Throws only when the sandbox itself is broken.
  [[nodiscard]] virtual std::vector<CheckResult> check(const Context& context) = 0;
  // Makes a disaster real: "corruption", "deletion", "migration", "loss". Returns what was done, a
  // sentence. Throws Error{kUsage} for one that it cannot.
  virtual std::string break_it(const Context& context, const std::string& scenario) = 0;
  // Lets go of everything that it made: it stays, running, after this object and this process. Last
  // call. Throws Error; then it is as before.
  [[nodiscard]] virtual KeptStore leave(const Context& context) = 0;
  // Restores the sandbox's own data again, as the plan would the real one: into the same place.
  [[nodiscard]] virtual RestoreOutcome recover(const Context& context,
                                               const RestoreOrder& order) = 0;
};

struct ProbeResult {
  std::string name;  // "connection", "replication right", "archive_command", ...
  bool ok = false;
  bool fatal = false;  // without it nothing works
  std::string found;
  std::string hint;
};

// One source of the configuration with its repository. Opens what it needs per call and holds
// nothing in between: objects are cheap. One call at a time; different stores side by side.
class Store {
 public:
  virtual ~Store() = default;
  [[nodiscard]] virtual const SourceSpec& spec() const = 0;
  // What others need to use the real store, under the names of SandboxedStore::outputs, so that one
  // plan does for both. A value may be a secret reference ("env:DATABASE_URL").
  [[nodiscard]] virtual TextMap outputs() const = 0;
  // SandboxedStore::check for the real store, after a restore into its place.
  [[nodiscard]] virtual std::vector<CheckResult> check(const Context& context) = 0;

  // Backs up and proves cheaply what can be (V1): `checks` of the record. Kind, outcome, times,
  // snapshot, captured, bytes and items are filled in. Throws Error when no snapshot was made.
  [[nodiscard]] virtual RunRecord back_up(const Context& context, const BackupOrder& order) = 0;
  // Newest first. From the repository alone.
  [[nodiscard]] virtual std::vector<RecoveryRange> ranges(const Context& context) = 0;
  // Into the real target, or the one that the order names. Never promotes or leaves running what is
  // not what was asked for. Throws Error.
  [[nodiscard]] virtual RestoreOutcome restore(const Context& context,
                                               const RestoreOrder& order) = 0;
  // What a restore would destroy, as a person says it; empty: nothing.
  [[nodiscard]] virtual std::string would_destroy(const Context& context,
                                                  const RestoreOrder& order) = 0;
  // What keeps a restore from beginning as things are now, as a person says it (a server that runs
  // on the data); empty: nothing.
  [[nodiscard]] virtual std::string in_the_way(const Context& /*context*/,
                                               const RestoreOrder& /*order*/) {
    return {};
  }
  // After a kMoveAside: the old data back in its place (the restored goes), or gone for good.
  virtual void put_back(const Context& context, const RestoreOutcome& outcome,
                        const RestoreOrder& order) = 0;
  virtual void discard_old(const Context& context, const RestoreOutcome& outcome) = 0;
  // Restores into `sandbox` and starts it.
  [[nodiscard]] virtual std::unique_ptr<SandboxedStore> open_sandbox(const Context& context,
                                                                     const SandboxSpec& sandbox,
                                                                     const RestoreOrder& order) = 0;
  // Everything that a backup needs from the store and its repository (doctor, preflight).
  [[nodiscard]] virtual std::vector<ProbeResult> probe(const Context& context) = 0;
};

// The table entry of a kind.
struct StoreKind {
  std::string name;
  std::string summary;
  std::vector<FieldSpec> fields;         // of the source's entry
  std::vector<FieldSpec> target_fields;  // of a restore's target
  std::vector<std::string> scenarios;    // that SandboxedStore::break_it knows
  bool has_log = false;                  // any point in time
  // Whether these settings of a source have a log followed; null: as `has_log` says.
  bool (*follows_log)(const Settings& settings) = nullptr;
  // The command that follows the log of a source with these settings for as long as it runs; the
  // source's name comes behind it. Empty: the store sends its log by itself, or there is none.
  std::vector<std::string> (*log_command)(const Settings& settings) = nullptr;

  [[nodiscard]] bool with_log(const Settings& settings) const {
    return follows_log == nullptr ? has_log : follows_log(settings);
  }
};

// Makes stores; the command line provides it. Thread-safe.
class Stores {
 public:
  virtual ~Stores() = default;
  // Throws Error{kUsage} for a source that is not there.
  [[nodiscard]] virtual std::unique_ptr<Store> open(const std::string& source) = 0;
};

}  // namespace salvor
