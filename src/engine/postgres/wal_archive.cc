#include "engine/postgres/wal_archive.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <set>

#include <fmt/format.h>

#include "base/format.h"
#include "connector/postgres/wal_segment.h"

namespace salvor {
namespace {

using postgres::SegmentNumber;
using postgres::Timeline;
using postgres::WalFileKind;
using postgres::WalFileName;

constexpr std::string_view kStorePrefix = "postgresql-";
constexpr std::string_view kStream = "wal";
constexpr std::string_view kTail = ".tail-";
constexpr size_t kNoteLimit = 1U << 20;  // history files and backup notes are a few lines

std::string store_name(uint64_t system_identifier) {
  return std::string(kStorePrefix) + std::to_string(system_identifier);
}

}  // namespace

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
  return journal_.put(context, name, content, hash, scratch);
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

std::string WalArchive::push_tail(const Context& context, const std::string& segment,
                                  uint64_t begin, ByteView bytes, JournalScratch& scratch) const {
  // Do not change: on disk. 000000010000000000000005.tail-00000000-00012345
  const std::string position =
      fmt::format("{}{}{:08X}-{:08X}", segment, kTail, begin, begin + bytes.size());
  journal_.put(context, position, bytes, scratch);
  return position;
}

std::optional<Buffer> WalArchive::assemble_tail(const Context& context,
                                                const std::string& segment) const {
  struct Piece {
    uint64_t begin = 0;
    uint64_t end = 0;
    std::string position;
  };
  std::vector<Piece> pieces;
  for (const JournalEntry& entry : journal_.list(context)) {
    if (entry.position.starts_with(segment + std::string(kTail))) {
      const std::string numbers = entry.position.substr(segment.size() + kTail.size());
      Piece piece{.position = entry.position};
      if (std::sscanf(numbers.c_str(), "%8lX-%8lX", &piece.begin, &piece.end) == 2) {
        pieces.push_back(piece);
      }
    }
  }
  Buffer content;
  for (const Piece& piece : pieces) {  // sorted by where they begin
    if (piece.begin > content.size()) {
      break;
    }
    if (piece.end > content.size()) {
      const Buffer bytes = journal_.get(context, piece.position);
      content.resize(piece.begin);
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
    const size_t tail = entry.position.find(kTail);
    const auto parsed =
        postgres::parse_wal_file_name(entry.position.substr(0, tail), segment_size_);
    if (parsed && tail != std::string::npos) {
      timelines[parsed->timeline].timeline = parsed->timeline;
      timelines[parsed->timeline].tail = parsed->segment;
      continue;
    }
    if (!parsed ||
        (parsed->kind != WalFileKind::kSegment && parsed->kind != WalFileKind::kHistory)) {
      continue;
    }
    WalTimeline& timeline = timelines[parsed->timeline];
    timeline.timeline = parsed->timeline;
    if (parsed->kind == WalFileKind::kHistory) {
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

bool WalArchive::is_hole(const Context& context, const WalFileName& name) const {
  if (name.kind != WalFileKind::kSegment) {
    return false;
  }
  for (const WalTimeline& timeline : survey(context)) {
    if (timeline.timeline != name.timeline || timeline.runs.empty() ||
        timeline.runs.back().last < name.segment) {
      continue;
    }
    SegmentNumber begin;  // where this timeline's own segments begin
    if (timeline.history && !timeline.history->ancestors().empty()) {
      begin = postgres::segment_of(timeline.history->ancestors().back().end, segment_size_);
    }
    return name.segment >= begin;
  }
  return false;
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
                                             uint64_t system_identifier) {
  std::vector<PhysicalBackup> backups;
  for (StoredSnapshot& snapshot : repository.load_snapshots(context)) {
    const auto facts = postgres::from_tags(snapshot.snapshot.tags);
    if (facts && (system_identifier == 0 || facts->system_identifier == system_identifier)) {
      backups.push_back({std::move(snapshot), *facts});
    }
  }
  std::stable_sort(backups.begin(), backups.end(),
                   [](const PhysicalBackup& left, const PhysicalBackup& right) {
                     return left.facts.stop_time < right.facts.stop_time;
                   });
  return backups;
}

}  // namespace salvor
