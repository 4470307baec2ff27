#include "connector/postgres/incremental_plan.h"

#include "connector/postgres/backup_manifest.h"
#include "connector/postgres/control_file.h"
#include "connector/postgres/page_parts.h"

namespace salvor::postgres {
namespace {

constexpr unsigned kHundred = 100;

// FNV-1a: which files are read whole in a run must not change with the program.
uint64_t stable_hash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return hash ^ (hash >> 32U);
}

// Before 17.11 and 18.5 changes of visibility maps are missing in summaries.
bool forgets_visibility_maps(int version) {
  const int major = version / 10000;
  const int minor = version % 10000;
  return (major == 17 && minor < 11) || (major == 18 && minor < 5);
}

// Before 17.8 and 18.2 the length of a relation of several segments that was truncated is wrong.
bool misjudges_truncation(int version) {
  const int major = version / 10000;
  const int minor = version % 10000;
  return (major == 17 && minor < 8) || (major == 18 && minor < 2);
}

// "base/5/16384" of "base/5/16384.1".
std::string first_segment(const std::string& path) {
  const size_t dot = path.find('.', path.rfind('/') + 1);
  return path.substr(0, dot);
}

std::string obstacle(const EarlierBackup& earlier, const ServerState& server) {
  const BackupFacts& facts = earlier.facts;
  if (server.version / 10000 < 17) {
    return "incremental backups need PostgreSQL 17";
  }
  if (!server.summarizes_wal) {
    return "summarize_wal is off";
  }
  if (facts.system_identifier != server.identity.system_identifier) {
    return "backup " + earlier.name + " is of another cluster";
  }
  if (facts.timeline != server.identity.timeline) {
    return "the timeline has changed since backup " + earlier.name;
  }
  if (facts.damaged) {
    return "backup " + earlier.name + " holds damaged pages";
  }
  if (facts.start > server.identity.position) {
    return "the server's log ends before backup " + earlier.name + " began";
  }
  return "";
}

std::string control_obstacle(const ControlFile& control, const EarlierBackup& earlier,
                             const ServerState& server) {
  if (control.system_identifier != server.identity.system_identifier ||
      control.major_version != static_cast<unsigned>(server.version / 10000)) {
    return "backup " + earlier.name + " is of another server version";
  }
  if (control.block_bytes != kPageBytes) {
    return "backup " + earlier.name + " has pages of another size";
  }
  if (control.page_checksums != server.page_checksums) {
    return "page checksums were switched since backup " + earlier.name;
  }
  return "";
}

// The earlier file, if it can be the base of a new one.
const Node* usable(const EarlierFiles& files, const ManifestFile& file) {
  const Node* node = files.find(file.path);
  if (node == nullptr || node->size != file.size || file.size == 0 || file.size % kPageBytes != 0 ||
      file.algorithm != "CRC32C" || file.checksum.size() != 4) {
    return nullptr;
  }
  const std::vector<PartReader::Part> parts = files.parts(*node);
  uint64_t size = 0;
  for (const PartReader::Part& part : parts) {
    size += part.size;
  }
  return size == file.size && page_aligned(parts) ? node : nullptr;
}

}  // namespace

std::unordered_set<std::string> sent_whole(const BackupManifest& manifest, int version) {
  std::unordered_set<std::string> large;
  if (misjudges_truncation(version)) {
    for (const ManifestFile& file : manifest.files) {
      if (const auto relation = parse_relation_path(file.path); relation && relation->segment > 0) {
        large.insert(first_segment(file.path));
      }
    }
  }
  std::unordered_set<std::string> whole;
  for (const ManifestFile& file : manifest.files) {
    const auto relation = parse_relation_path(file.path);
    if (relation && ((forgets_visibility_maps(version) && relation->fork == "vm") ||
                     large.contains(first_segment(file.path)))) {
      whole.insert(file.path);
    }
  }
  return whole;
}

bool has_turn(const std::string& path, const EarlierBackup& earlier) {
  if (earlier.reread_percent == 0) {
    return false;
  }
  const uint64_t rounds = std::max(1U, kHundred / earlier.reread_percent);
  return stable_hash(path) % rounds == earlier.turn % rounds;
}

Buffer read_earlier(const Context& context, const EarlierFiles& files, const std::string& path) {
  const Node* node = files.find(path);
  if (node == nullptr) {
    throw Error(ErrorCode::kDamaged, "the earlier backup's " + path + " is not in the repository");
  }
  const std::unique_ptr<EarlierBlobs> blobs = files.blobs(context, node->content);
  Buffer all;
  for (const BlobId& id : node->content) {
    all.append(blobs->read(id).view());
  }
  return all;
}

IncrementalPlan plan_incremental(const Context& context, const EarlierBackup& earlier,
                                 const ServerState& server) {
  IncrementalPlan plan;
  plan.refusal = obstacle(earlier, server);
  if (!plan.refusal.empty()) {
    return plan;
  }
  const EarlierFiles& files = *earlier.files;
  try {
    plan.refusal = control_obstacle(
        parse_control_file(read_earlier(context, files, "global/pg_control").view()), earlier,
        server);
    if (!plan.refusal.empty()) {
      return plan;
    }
    BackupManifest manifest =
        parse_backup_manifest(read_earlier(context, files, "backup_manifest").view());
    if (manifest.wal_ranges.size() != 1 ||
        manifest.wal_ranges[0].timeline != earlier.facts.timeline ||
        manifest.wal_ranges[0].start != earlier.facts.start) {
      plan.refusal = "the timeline changed during backup " + earlier.name;
      return plan;
    }
    const std::unordered_set<std::string> whole = sent_whole(manifest, server.version);
    std::vector<ManifestFile> offered;
    for (ManifestFile& file : manifest.files) {
      const auto relation = parse_relation_path(file.path);
      const Node* node = relation ? usable(files, file) : nullptr;
      if (node == nullptr || whole.contains(file.path)) {
        continue;
      }
      if (has_turn(file.path, earlier)) {
        ++plan.reread;
        continue;
      }
      EarlierFile base{.node = node};
      std::memcpy(&base.crc, file.checksum.data(), sizeof base.crc);
      plan.files.emplace(file.path, base);
      offered.push_back(std::move(file));
    }
    manifest.files = std::move(offered);
    plan.manifest = format_backup_manifest(manifest, true);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kDamaged) {
      throw;
    }
    plan = {};
    plan.refusal = "backup " + earlier.name + " cannot be read: " + error.message();
  }
  return plan;
}

}  // namespace salvor::postgres
