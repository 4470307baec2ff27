#include "engine/postgres/wal_archive.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/format.h"
#include "connector/postgres/wal_segment.h"
#include "connector/postgres/wal_times.h"

namespace salvor {
namespace {

using postgres::Lsn;
using postgres::SegmentNumber;
using postgres::Timeline;
using postgres::WalFileKind;
using postgres::WalFileName;

constexpr std::string_view kStorePrefix = "postgresql-";
constexpr std::string_view kStream = "wal";
constexpr std::string_view kTail = ".tail-";
constexpr size_t kNoteLimit = 1U << 20;  // history files and backup notes are a few lines

// What looks like a hole is looked at again.
constexpr int kLooks = 3;

std::string store_name(uint64_t system_identifier) {
  return std::string(kStorePrefix) + std::to_string(system_identifier);
}

// A piece of an unfinished segment: [begin, end) of it.
struct Piece {
  std::string segment;
  uint64_t begin = 0;
  uint64_t end = 0;
};

std::optional<Piece> parse_piece(const std::string& position) {
  const size_t tail = position.find(kTail);
  if (tail == std::string::npos) {
    return std::nullopt;
  }
  Piece piece{.segment = position.substr(0, tail)};
  const std::string numbers = position.substr(tail + kTail.size());
  return std::sscanf(numbers.c_str(), "%8lX-%8lX", &piece.begin, &piece.end) == 2
             ? std::optional(piece)
             : std::nullopt;
}

// Pieces come sorted by where they begin.
void add_piece(WalTimeline& timeline, SegmentNumber segment, const Piece& piece) {
  if (timeline.tail != segment) {
    timeline.tail = segment;
    timeline.tail_bytes = 0;
  }
  if (piece.begin <= timeline.tail_bytes) {
    timeline.tail_bytes = std::max(timeline.tail_bytes, piece.end);
  }
}

const WalTimeline* find(const std::vector<WalTimeline>& timelines, Timeline timeline) {
  const auto found =
      std::find_if(timelines.begin(), timelines.end(),
                   [&](const WalTimeline& other) { return other.timeline == timeline; });
  return found == timelines.end() ? nullptr : &*found;
}

bool holds(const std::vector<WalTimeline>& timelines, const WalFileName& name) {
  const WalTimeline* const timeline = find(timelines, name.timeline);
  if (timeline == nullptr) {
    return false;
  }
  if (name.kind == WalFileKind::kHistory) {
    return timeline->history.has_value();
  }
  return name.kind == WalFileKind::kSegment &&
         std::any_of(timeline->runs.begin(), timeline->runs.end(), [&](const WalRun& run) {
           return run.first <= name.segment && name.segment <= run.last;
         });
}

// Whether `assemble_tail` has something to give.
bool has_pieces(const std::vector<WalTimeline>& timelines, const WalFileName& name) {
  const WalTimeline* const timeline = find(timelines, name.timeline);
  return timeline != nullptr && name.kind == WalFileKind::kSegment &&
         timeline->tail == name.segment && timeline->tail_bytes > 0;
}

// Where `timeline` branched off, as far as its own history or that of a later one says.
Lsn begin_of(const std::vector<WalTimeline>& timelines, Timeline timeline) {
  for (const WalTimeline& other : timelines) {
    if (!other.history || !other.history->contains(timeline)) {
      continue;
    }
    Lsn begin;
    for (const postgres::TimelineSwitch& ancestor : other.history->ancestors()) {
      if (ancestor.timeline < timeline) {
        begin = ancestor.end;
      }
    }
    return begin;
  }
  return {};
}

// Where the last whole record begins in a server's own file of a segment; nothing when there is no
// such file, or one that is left from another segment.
std::optional<Lsn> last_record_in(const std::string& local, const WalFileName& name,
                                  postgres::SegmentSize size) {
  try {
    const Buffer content = read_file(local, size.bytes);
    const Lsn start = postgres::start_of(name.segment, size);
    return postgres::is_wal_page(content.view(), name.timeline, start)
               ? postgres::wal_times(content.view()).last_record
               : std::nullopt;
  } catch (const Error&) {
    return std::nullopt;
  }
}

[[noreturn]] void fail_at_hole(const std::string& name, WalFileKind kind) {
  if (kind == WalFileKind::kHistory) {
    throw Error(ErrorCode::kDamaged,
                "the WAL archive has a hole: " + name +
                    " is missing, but WAL of that timeline or of one behind it is there",
                "Recovery was stopped, because without it an older timeline would be followed. A "
                "server that was on that timeline has it in pg_wal: `salvor wal push` stores it.");
  }
  throw Error(ErrorCode::kDamaged,
              "the WAL archive has a hole: " + name + " is missing, later ones are there",
              "Recovery was stopped, because ending here would lose what comes later. If that is "
              "what you want, recover to a target before the hole; `salvor wal verify` lists what "
              "there is.");
}

}  // namespace

SegmentNumber proven_end(const std::vector<WalTimeline>& timelines, Timeline timeline,
                         postgres::SegmentSize size) {
  SegmentNumber end;
  for (const WalTimeline& other : timelines) {
    if (other.timeline == timeline) {
      end = std::max(
          {end, other.tail.value_or(SegmentNumber{}),
           other.runs.empty() ? SegmentNumber{} : SegmentNumber{other.runs.back().last.value + 1}});
    } else if (const auto left = other.history ? other.history->end_of(timeline) : std::nullopt) {
      end = std::max(end, postgres::segment_of(*left, size));
    }
  }
  return end;
}

bool is_hole(const std::vector<WalTimeline>& timelines, const WalFileName& name,
             postgres::SegmentSize size) {
  if (holds(timelines, name)) {
    return false;
  }
  if (name.kind == WalFileKind::kSegment) {
    return postgres::segment_of(begin_of(timelines, name.timeline), size) <= name.segment &&
           name.segment < proven_end(timelines, name.timeline, size);
  }
  return name.kind == WalFileKind::kHistory && name.timeline.value > 1 &&
         std::any_of(timelines.begin(), timelines.end(), [&](const WalTimeline& other) {
           return other.timeline == name.timeline
                      ? !other.runs.empty() || other.tail.has_value()
                      : other.history && other.history->contains(name.timeline);
         });
}

WalArchive::WalArchive(const Repository& repository, uint64_t system_identifier,
                       postgres::SegmentSize segment_size)
    : system_identifier_(system_identifier),
      segment_size_(segment_size),
      journal_(repository, store_name(system_identifier), kStream) {}

void WalArchive::check(const std::string& name, const WalFileName& parsed, ByteView content) const {
  switch (parsed.kind) {
    case WalFileKind::kSegment:
    case WalFileKind::kPartial: {
      const postgres::WalSegmentHeader header = postgres::check_wal_segment(parsed, content);
      if (header.system_identifier != system_identifier_ || header.segment_size != segment_size_) {
        throw Error(ErrorCode::kDamaged,
                    name + " is of the cluster " + std::to_string(header.system_identifier) +
                        ", not of " + std::to_string(system_identifier_),
                    "Every cluster has an archive of its own; look at the paths.");
      }
      return;
    }
    case WalFileKind::kHistory:
      static_cast<void>(postgres::TimelineHistory::parse(parsed.timeline, as_text(content)));
      return;
    case WalFileKind::kBackup:
      if (content.size() > kNoteLimit) {
        throw Error(ErrorCode::kDamaged, name + " is too large for a backup note");
      }
  }
}

JournalPut WalArchive::push(const Context& context, const std::string& name, ByteView content,
                            const Digest& hash, JournalScratch& scratch) const {
  const auto parsed = postgres::parse_wal_file_name(name, segment_size_);
  if (!parsed) {
    throw Error(ErrorCode::kUsage, "\"" + printable(name) + "\" is not a WAL file's name",
                "archive_command passes the path as %p.");
  }
  try {
    check(name, *parsed, content);
  } catch (Error& error) {
    error.within("cannot archive " + name);
    throw;
  }
  try {
    return journal_.put(context, name, content, hash, scratch);
  } catch (const JournalConflict&) {
    if (parsed->kind != WalFileKind::kPartial) {
      throw;
    }
  }
  context.events.on(Warning{"another " + name + " is archived already; this one is not stored",
                            "Each that stores into this archive has its own length of a timeline's "
                            "last segment. Recovery never reads it."});
  return JournalPut::kExisted;
}

std::optional<Buffer> WalArchive::fetch(const Context& context, const std::string& name) const {
  const auto parsed = postgres::parse_wal_file_name(name, segment_size_);
  if (!parsed) {
    throw Error(ErrorCode::kUsage, "\"" + printable(name) + "\" is not a WAL file's name",
                "restore_command passes it as %f.");
  }
  try {
    Buffer content = journal_.get(context, name);
    check(name, *parsed, content.view());
    return content;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) {
      throw;
    }
  }
  return std::nullopt;
}

std::optional<Buffer> WalArchive::fetch_for_recovery(const Context& context,
                                                     const std::string& name,
                                                     const std::string& local,
                                                     std::chrono::milliseconds look_again) const {
  const auto parsed = postgres::parse_wal_file_name(name, segment_size_);
  for (int look = 1;; ++look) {
    if (auto content = fetch(context, name)) {
      return content;
    }
    const std::vector<WalTimeline> timelines = survey(context);
    const bool hole = is_hole(timelines, *parsed, segment_size_);
    if (hole && ::access(local.c_str(), F_OK) == 0) {
      return std::nullopt;
    }
    if (!hole && has_pieces(timelines, *parsed)) {
      if (auto tail = tail_unless_gone(context, name)) {
        const bool behind = last_record_in(local, *parsed, segment_size_) >
                            postgres::wal_times(tail->view()).last_record;
        return behind ? std::nullopt : std::move(tail);
      }
    } else if (!hole && !holds(timelines, *parsed)) {
      return std::nullopt;
    }
    if (look == kLooks) {
      fail_at_hole(name, parsed->kind);
    }
    context.check_stopped();
    std::this_thread::sleep_for(look_again);
  }
}

std::optional<Buffer> WalArchive::tail_unless_gone(const Context& context,
                                                   const std::string& segment) const {
  try {
    return assemble_tail(context, segment);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) {
      throw;
    }
  }
  return std::nullopt;
}

std::string WalArchive::push_tail(const Context& context, const std::string& segment,
                                  uint64_t begin, ByteView bytes, JournalScratch& scratch) const {
  // Do not change: on disk. 000000010000000000000005.tail-00000000-00012345
  const std::string position =
      fmt::format("{}{}{:08X}-{:08X}", segment, kTail, begin, begin + bytes.size());
  journal_.put(context, position, bytes, scratch);
  return position;
}

WalPieces WalArchive::look(const Context& context, const std::string& segment) const {
  WalPieces pieces;
  for (const JournalEntry& entry : journal_.list(context, segment)) {
    pieces.whole = pieces.whole || entry.position == segment;
    if (const auto piece = parse_piece(entry.position)) {
      pieces.tails.push_back(entry.position);
      pieces.end = piece->begin > pieces.end ? pieces.end : std::max(pieces.end, piece->end);
    }
  }
  return pieces;
}

std::optional<Buffer> WalArchive::assemble_tail(const Context& context,
                                                const std::string& segment) const {
  Buffer content;
  for (const JournalEntry& entry : journal_.list(context, segment + std::string(kTail))) {
    const auto piece = parse_piece(entry.position);  // sorted by where they begin
    if (piece && piece->begin > content.size()) {
      break;
    }
    if (piece && piece->end > content.size()) {
      const Buffer bytes = journal_.get(context, entry.position);
      content.resize(piece->begin);
      content.append(bytes.view());
    }
  }
  if (content.empty() || content.size() > segment_size_.bytes) {
    return std::nullopt;
  }
  const size_t have = content.size();
  content.resize(segment_size_.bytes);
  std::memset(content.data() + have, 0, content.size() - have);
  check(segment, *postgres::parse_wal_file_name(segment, segment_size_), content.view());
  return content;
}

void WalArchive::remove_tails(const Context& context, const std::string& segment,
                              std::vector<std::string>& tails) const {
  const auto own = std::partition(tails.begin(), tails.end(), [&](const std::string& position) {
    return !position.starts_with(segment);
  });
  journal_.remove(context, std::vector<std::string>(own, tails.end()));
  tails.erase(own, tails.end());
}

std::vector<WalTimeline> WalArchive::survey(const Context& context) const {
  std::map<Timeline, WalTimeline> timelines;
  for (const JournalEntry& entry : journal_.list(context)) {
    const auto piece = parse_piece(entry.position);
    const auto parsed =
        postgres::parse_wal_file_name(piece ? piece->segment : entry.position, segment_size_);
    if (!parsed ||
        (parsed->kind != WalFileKind::kSegment && parsed->kind != WalFileKind::kHistory)) {
      continue;
    }
    WalTimeline& timeline = timelines[parsed->timeline];
    timeline.timeline = parsed->timeline;
    if (piece) {
      add_piece(timeline, parsed->segment, *piece);
    } else if (parsed->kind == WalFileKind::kHistory) {
      const Buffer text = journal_.get(context, entry.position);
      timeline.history = postgres::TimelineHistory::parse(parsed->timeline, as_text(text.view()));
    } else if (!timeline.runs.empty() &&
               timeline.runs.back().last.value + 1 == parsed->segment.value) {
      timeline.runs.back().last = parsed->segment;  // names sort as segments do
    } else {
      timeline.runs.push_back({parsed->segment, parsed->segment});
    }
  }
  std::vector<WalTimeline> result;
  for (auto& [id, timeline] : timelines) {
    result.push_back(std::move(timeline));
  }
  return result;
}

size_t WalArchive::remove_before(const Context& context, SegmentNumber first_kept, bool dry_run,
                                 uint64_t* stored_bytes) const {
  std::vector<std::string> gone;
  for (const JournalEntry& entry : journal_.list(context)) {
    const std::string name = entry.position.substr(0, entry.position.find(kTail));
    const auto parsed = postgres::parse_wal_file_name(name, segment_size_);
    if (parsed && parsed->kind != WalFileKind::kHistory && parsed->segment < first_kept) {
      gone.push_back(entry.position);
      if (stored_bytes != nullptr) {
        *stored_bytes += entry.stored_bytes;
      }
    }
  }
  if (!dry_run) {
    journal_.remove(context, gone);
  }
  return gone.size();
}

WalArchive open_wal_archive(const Context& context, const Repository& repository,
                            uint64_t system_identifier) {
  const Journal journal(repository, store_name(system_identifier), kStream);
  postgres::SegmentSize size;
  for (const JournalEntry& entry : journal.list(context)) {
    // With the smallest size every segment's name is understood.
    const auto parsed = postgres::parse_wal_file_name(entry.position, {1U << 20});
    if (parsed && parsed->kind == WalFileKind::kSegment) {
      size = postgres::parse_wal_segment(journal.get(context, entry.position).view()).segment_size;
      break;
    }
  }
  return {repository, system_identifier, size};
}

std::vector<uint64_t> archived_systems(const Context& context, Repository& repository) {
  std::set<uint64_t> systems;
  const std::string prefix = "journal/" + std::string(kStorePrefix);
  repository.storage().list_prefix(
      context, ObjectKind::kSalvor, prefix, [&](const ObjectInfo& info) {
        uint64_t system = 0;
        const char* const begin = info.name.data() + prefix.size();
        if (std::from_chars(begin, info.name.data() + info.name.size(), system).ec == std::errc()) {
          systems.insert(system);
        }
      });
  return {systems.begin(), systems.end()};
}

std::vector<PhysicalBackup> physical_backups(const Context& context, const Repository& repository,
                                             uint64_t system_identifier, DamagedSnapshots damaged) {
  std::vector<PhysicalBackup> backups;
  std::vector<UnreadableObject> unreadable;
  auto* const left_out = damaged == DamagedSnapshots::kLeftOut ? &unreadable : nullptr;
  for (StoredSnapshot& snapshot : repository.load_snapshots(context, left_out)) {
    const auto facts = postgres::from_tags(snapshot.snapshot.tags);
    if (facts && (system_identifier == 0 || facts->system_identifier == system_identifier)) {
      backups.push_back({std::move(snapshot), *facts});
    }
  }
  for (const UnreadableObject& one : unreadable) {
    context.events.on(Warning{one.reason + ", so that nothing can be recovered from it",
                              "`salvor check` says what is affected."});
  }
  std::stable_sort(backups.begin(), backups.end(),
                   [](const PhysicalBackup& left, const PhysicalBackup& right) {
                     return left.facts.stop_time < right.facts.stop_time;
                   });
  return backups;
}

}  // namespace salvor
