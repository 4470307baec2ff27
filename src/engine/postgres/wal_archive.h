// PostgreSQL's WAL in the repository's journal: one object a segment, history file and backup note,
// of one cluster.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "connector/postgres/backup_facts.h"
#include "connector/postgres/lsn.h"
#include "connector/postgres/timeline_history.h"
#include "crypto/sha256.h"
#include "repo/journal.h"

namespace salvor {

// All that is archived of one timeline, as runs of segments without holes.
struct WalRun {
  postgres::SegmentNumber first;
  postgres::SegmentNumber last;  // inclusive
};

struct WalTimeline {
  postgres::Timeline timeline;
  std::vector<WalRun> runs;  // ascending
  std::optional<postgres::TimelineHistory> history;
  std::optional<postgres::SegmentNumber> tail;  // the last of which there are pieces
  uint64_t tail_bytes = 0;                      // of it, from its start on without a gap
};

// The first segment of `timeline` of which `timelines` (a survey) say nothing: all from its begin
// up to there were written, because there are later ones, or because a later timeline branched off
// behind them.
[[nodiscard]] postgres::SegmentNumber proven_end(const std::vector<WalTimeline>& timelines,
                                                 postgres::Timeline timeline,
                                                 postgres::SegmentSize size);
// Whether a file that is not in the archive should be: a segment between the begin of its timeline
// and `proven_end`, a history of a timeline that has segments or that a later one comes from.
[[nodiscard]] bool is_hole(const std::vector<WalTimeline>& timelines,
                           const postgres::WalFileName& name, postgres::SegmentSize size);

// What there is of one segment.
struct WalPieces {
  bool whole = false;
  std::vector<std::string> tails;  // positions of pieces, in order
  uint64_t end = 0;                // what the pieces give from the segment's start on without a gap
};

// Thread-safe.
class WalArchive {
 public:
  WalArchive(const Repository& repository, uint64_t system_identifier,
             postgres::SegmentSize segment_size);

  // Checks that `content` is what `name` says, of this cluster, and stores it. Durable on return;
  // idempotent. Throws Error{kUsage} for a name that is none, Error{kDamaged} for content that is
  // not what the name says, JournalConflict when another content is archived under the name. Only
  // of the unfinished last segment of a timeline (.partial) there may be several: server, standby
  // and stream have each come as far as they have. The first one stays, with a warning: recovery
  // never reads it, and a refusal would stop all archiving.
  JournalPut push(const Context& context, const std::string& name, ByteView content) const {
    JournalScratch scratch;
    return push(context, name, content, scratch);
  }
  JournalPut push(const Context& context, const std::string& name, ByteView content,
                  JournalScratch& scratch) const {
    return push(context, name, content, sha256(content), scratch);
  }
  JournalPut push(const Context& context, const std::string& name, ByteView content,
                  const Digest& hash, JournalScratch& scratch) const;
  // The file's content, checked again; nothing when the archive proves that it is not there.
  [[nodiscard]] std::optional<Buffer> fetch(const Context& context, const std::string& name) const;
  // The same for a server that recovers, which takes "nothing" for the end of the log: of an
  // unfinished segment what `assemble_tail` gives, nothing only where the log may end.
  // `local`: where the server would have a file of that name itself, which it takes when it is told
  // "nothing": so it is where the archive has a hole, or only pieces that do not go as far as that
  // file. Throws Error{kDamaged} for a hole that is still one when looked at twice again,
  // `look_again` apart: what is archived meanwhile need not come in order.
  [[nodiscard]] std::optional<Buffer> fetch_for_recovery(
      const Context& context, const std::string& name, const std::string& local,
      std::chrono::milliseconds look_again = std::chrono::milliseconds(500)) const;

  // Pieces of a segment that is not finished yet: [begin, begin + bytes). Durable on return;
  // returns the object's position.
  [[nodiscard]] std::string push_tail(const Context& context, const std::string& segment,
                                      uint64_t begin, ByteView bytes,
                                      JournalScratch& scratch) const;
  // Asks the storage once.
  [[nodiscard]] WalPieces look(const Context& context, const std::string& segment) const;
  // What the pieces of a segment give from its start on without a gap, filled up with zeros;
  // nothing without a first piece. Recovery reads it to the last whole record.
  [[nodiscard]] std::optional<Buffer> assemble_tail(const Context& context,
                                                    const std::string& segment) const;
  // The same while a stream may be storing; nothing, too, when the segment has become whole
  // meanwhile, with which its pieces go.
  [[nodiscard]] std::optional<Buffer> tail_unless_gone(const Context& context,
                                                       const std::string& segment) const;
  // Removes those of `tails` (positions) that are of `segment`, here and there.
  void remove_tails(const Context& context, const std::string& segment,
                    std::vector<std::string>& tails) const;

  // What there is, by timeline. History files are read.
  [[nodiscard]] std::vector<WalTimeline> survey(const Context& context) const;
  // Removes segments and backup notes before `first_kept` on all timelines; histories stay. Returns
  // how many.
  size_t remove_before(const Context& context, postgres::SegmentNumber first_kept, bool dry_run,
                       uint64_t* stored_bytes = nullptr) const;

  [[nodiscard]] postgres::SegmentSize segment_size() const { return segment_size_; }
  [[nodiscard]] const Journal& journal() const { return journal_; }

 private:
  void check(const std::string& name, const postgres::WalFileName& parsed, ByteView content) const;

  const uint64_t system_identifier_;
  const postgres::SegmentSize segment_size_;
  const Journal journal_;
};

// An archive of which nothing but the cluster is known: the segment size is read from a segment in
// it (16 MiB when there is none).
[[nodiscard]] WalArchive open_wal_archive(const Context& context, const Repository& repository,
                                          uint64_t system_identifier);

// The clusters that have WAL in the repository.
[[nodiscard]] std::vector<uint64_t> archived_systems(const Context& context,
                                                     Repository& repository);

// Physical backups in the repository, oldest stop first; of one cluster, or (0) of all.
struct PhysicalBackup {
  StoredSnapshot snapshot;
  postgres::BackupFacts facts;
};
// Of a snapshot that cannot be read nobody knows whether it is one. Who recovers does without it,
// and is warned; who removes what no backup needs must not.
enum class DamagedSnapshots : uint8_t { kRefused, kLeftOut };
[[nodiscard]] std::vector<PhysicalBackup> physical_backups(
    const Context& context, const Repository& repository, uint64_t system_identifier = 0,
    DamagedSnapshots damaged = DamagedSnapshots::kRefused);

}  // namespace salvor
