#include "engine/maintenance/checker.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>

#include "base/format.h"
#include "base/task.h"
#include "codec/documents.h"
#include "codec/index_codec.h"
#include "crypto/sha256.h"
#include "engine/maintenance/damage.h"
#include "engine/maintenance/damage_map.h"
#include "engine/maintenance/index_rewriter.h"
#include "engine/maintenance/node_name.h"
#include "engine/maintenance/used_blobs.h"
#include "engine/reading/pack_reader.h"
#include "engine/reading/pack_table.h"
#include "repo/repository.h"

namespace salvor {
namespace {

constexpr unsigned kMostParts = 256;  // packs are divided by the first byte of their names
constexpr uint64_t kKeyFileLimit = 1 << 20;

// What the index files together say of a pack.
struct PackFacts {
  uint64_t size_bytes = 0;
  uint64_t content = 0;  // equal for equal lists of blobs
  uint32_t listings = 0;
  bool conflict = false;
  bool has_trees = false;
  bool has_data = false;
  bool present = false;
  uint64_t real_size = 0;
  std::optional<size_t> finding;  // that it is missing or too short
};

std::string in_quotes(std::string_view name) {
  return "\"" + printable(name) + "\"";
}

// Why a tree's nodes cannot be what a backup wrote; "" when they can.
std::string node_trouble(const Node& node, const Node* before) {
  if (!is_possible_name(node.name)) {
    return "the name " + in_quotes(node.name) + " is not possible in a directory";
  }
  if (before != nullptr && node.name <= before->name) {
    return in_quotes(node.name) + " follows " + in_quotes(before->name) +
           (node.name == before->name ? ": a name twice" : ": not in order");
  }
  switch (node.type) {
    case NodeType::kFile:
      if (node.content_is_null) {
        return "file " + in_quotes(node.name) + " has no list of content";
      }
      if (std::any_of(node.content.begin(), node.content.end(),
                      [](const BlobId& id) { return id.is_null(); })) {
        return "file " + in_quotes(node.name) + " has a content id of zeros";
      }
      break;
    case NodeType::kDir:
      if (!node.subtree || node.subtree->is_null()) {
        return "directory " + in_quotes(node.name) + " has no subtree";
      }
      break;
    case NodeType::kOther:
      return in_quotes(node.name) + " has the invalid type " + in_quotes(node.other_type);
    default:
      break;
  }
  return {};
}

const char* const kRepairIndex =
    "Run `salvor repair index`: it reads what is missing from the packs themselves.";
const char* const kHeal =
    "Run `salvor repair index` first. What is then still missing is healed by backing the same "
    "files up again, if they still exist; otherwise `salvor repair snapshots --forget` takes it "
    "out of the snapshots.";

std::string repair_packs(const PackId& pack) {
  return "Bring the pack back from a copy of the repository if there is one. Otherwise run "
         "`salvor repair packs " +
         pack.hex() +
         "`, which saves its undamaged blobs, then back the affected files up again, then "
         "`salvor repair snapshots --forget`.";
}

}  // namespace

struct Checker::State {
  struct DamagedCopies {
    std::vector<PackId> packs;
    size_t finding = kFindingLimit;
  };

  State(const Context& outer, Repository& repo, CheckOptions check_options)
      : context(outer), repository(repo), options(std::move(check_options)) {}

  void check_index();
  void check_packs();
  void check_snapshots();
  void check_keys();
  void check_locks();
  void check_trees();
  void read_packs();
  void trace_damage();

  void note_pack(const PackId& pack, std::span<const PackedBlob> blobs);
  void note_lost_blobs();
  void hit(const BlobHandle& handle, size_t finding);
  void tree_trouble(FindingKind kind, const BlobId& tree, const std::string& what);
  void check_tree(const BlobId& id, const Tree& tree);
  void blob_missing(const BlobHandle& handle);
  [[nodiscard]] std::string missing_text(const BlobHandle& handle) const;
  [[nodiscard]] std::string healing(const BlobHandle& handle);
  [[nodiscard]] std::vector<uint32_t> packs_to_read() const;
  void choose_at_random(std::vector<uint32_t>& chosen, double fraction) const;
  void read_pack(const Context& inner, PackReader& reader, uint32_t number);
  void pack_is_damaged(const PackId& pack, const PackVerdict& verdict);
  void note_damaged_blobs();
  [[nodiscard]] bool has_sound_copy(const BlobHandle& handle) const;
  void sort_findings();

  // Keeps the finding if there is room; its place in the list, or kFindingLimit.
  size_t find(Finding finding);

  const Context context;
  Repository& repository;
  const CheckOptions options;
  CheckProgress own_progress;
  CheckProgress& progress = options.progress != nullptr ? *options.progress : own_progress;
  CheckReport report;
  std::mutex mutex;  // guards report, damage and broken during parallel phases
  DamageMap damage;
  std::unordered_map<BlobHandle, size_t, BlobHandleHash> told_blobs;
  std::unordered_map<BlobHandle, DamagedCopies, BlobHandleHash> damaged_copies;  // by reading
  std::unordered_map<PackId, PackFacts, IdHash> packs;
  bool index_complete = true;
  std::vector<StoredSnapshot> snapshots;
  std::unique_ptr<EntrySet> used;
  std::unique_ptr<PackTable> table;
};

size_t Checker::State::find(Finding finding) {
  if (finding.is_error()) {
    ++report.errors;
  }
  if (report.findings.size() >= kFindingLimit) {
    return kFindingLimit;
  }
  report.findings.push_back(std::move(finding));
  return report.findings.size() - 1;
}

// --- index ---------------------------------------------------------------------------------------

void Checker::State::note_pack(const PackId& pack, std::span<const PackedBlob> blobs) {
  PackFacts facts;
  facts.size_bytes = pack_size_of(blobs);
  facts.content = blob_list_mark(blobs);
  facts.listings = 1;
  for (const PackedBlob& blob : blobs) {
    (blob.handle.type == BlobType::kTree ? facts.has_trees : facts.has_data) = true;
  }
  const std::scoped_lock lock(mutex);
  const auto [place, fresh] = packs.try_emplace(pack, facts);
  if (!fresh) {
    PackFacts& known = place->second;
    ++known.listings;
    known.conflict = known.conflict || known.content != facts.content;
    known.size_bytes = std::max(known.size_bytes, facts.size_bytes);
  }
}

// In one pass: what is known of the packs is what the index lists, whoever adds to it meanwhile.
void Checker::State::check_index() {
  std::vector<UnreadableObject> unreadable;
  repository.load_index(
      context, &unreadable,
      [this](const PackId& pack, std::span<const PackedBlob> blobs) { note_pack(pack, blobs); });
  for (const UnreadableObject& file : unreadable) {
    index_complete = false;
    report.suggest_repair_index = true;
    find({FindingKind::kIndexUnreadable, "index " + file.object.name, file.reason, kRepairIndex});
  }
  report.blobs = repository.index().blob_count();
  report.packs = packs.size();
  for (const auto& [pack, facts] : packs) {
    const std::string object = "pack " + pack.hex();
    if (facts.conflict) {
      report.broken_packs.push_back(pack);
      find({FindingKind::kIndexConflict, object, "index files list different blobs for it",
            "Run `salvor repair packs " + pack.hex() + "`."});
    } else if (facts.listings > 1) {
      report.suggest_repair_index = true;
      find({FindingKind::kPackTwice, object,
            std::to_string(facts.listings) + " index files list it",
            "This does no harm; `salvor repair index` tidies it up."});
    }
    if (facts.has_trees && facts.has_data) {
      report.suggest_prune = true;
      find({FindingKind::kPackMixed, object, "holds both trees and data",
            "This does no harm; `salvor prune` separates them."});
    }
  }
}

// --- packs, keys, locks, snapshots ---------------------------------------------------------------

void Checker::State::check_packs() {
  std::set<PackId> marked;  // by a prune, to be removed later: as it should be
  for (const MarkedPack& pack : repository.marked_packs()) {
    marked.insert(pack.id);
  }
  table = std::make_unique<PackTable>(repository.index());
  repository.storage().list(context, ObjectKind::kPack, [&](const ObjectInfo& info) {
    const auto known = packs.find(*PackId::parse(info.name));
    if (known != packs.end()) {
      known->second.present = true;
      known->second.real_size = info.size_bytes;
    } else if (index_complete && !marked.contains(*PackId::parse(info.name))) {
      report.suggest_prune = true;
      find({FindingKind::kPackUnreferenced, "pack " + info.name,
            "no index lists it (" + format_bytes(info.size_bytes) + ")",
            "An interrupted run leaves such packs; `salvor prune` removes them. If data is "
            "missing elsewhere, `salvor repair index` takes it from them."});
    }
  });
  for (auto& [pack, facts] : packs) {
    if (!facts.present) {
      report.suggest_repair_index = true;
      const size_t place = find(
          {FindingKind::kPackMissing, "pack " + pack.hex(), "does not exist",
           "Bring it back from a copy of the repository if there is one. Otherwise run `salvor "
           "repair index`, back the affected files up again if they still exist, then `salvor "
           "repair snapshots --forget`."});
      facts.finding = place;
    } else if (facts.real_size != facts.size_bytes && !facts.conflict) {
      report.broken_packs.push_back(pack);
      const size_t place = find({FindingKind::kPackSize, "pack " + pack.hex(),
                                 "has " + std::to_string(facts.real_size) +
                                     " bytes, but should have " + std::to_string(facts.size_bytes),
                                 repair_packs(pack)});
      facts.finding = place;
    }
  }
  note_lost_blobs();
}

// Blobs that lie in missing packs, or beyond the end of short ones, and nowhere else.
void Checker::State::note_lost_blobs() {
  for (size_t i = 0; i < table->size(); ++i) {
    const PackFacts& facts = packs.at(table->id(i));
    if (!facts.finding) {
      continue;
    }
    for (const Index::EntryNumber number : table->entries(i)) {
      const PackedBlob blob = repository.index().entry(number).blob;
      if (uint64_t{blob.offset} + blob.length > facts.real_size && !has_sound_copy(blob.handle)) {
        hit(blob.handle, *facts.finding);
      }
    }
  }
}

void Checker::State::hit(const BlobHandle& handle, size_t finding) {
  told_blobs.emplace(handle, finding);
  if (finding < kFindingLimit) {
    damage.add(handle, finding);
  }
}

// As far as is known: in a pack that is there, whole, and not found damaged when it was read.
bool Checker::State::has_sound_copy(const BlobHandle& handle) const {
  const std::vector<BlobLocation> copies = repository.index().find_all(handle);
  const auto bad = damaged_copies.find(handle);
  return std::any_of(copies.begin(), copies.end(), [&](const BlobLocation& copy) {
    const PackFacts& facts = packs.at(copy.pack);
    return uint64_t{copy.blob.offset} + copy.blob.length <= facts.real_size &&
           (bad == damaged_copies.end() ||
            std::find(bad->second.packs.begin(), bad->second.packs.end(), copy.pack) ==
                bad->second.packs.end());
  });
}

void Checker::State::check_snapshots() {
  std::vector<UnreadableObject> unreadable;
  snapshots = repository.load_snapshots(context, &unreadable);
  for (const UnreadableObject& object : unreadable) {
    find({FindingKind::kSnapshotUnreadable, "snapshot " + object.object.name, object.reason,
          "Bring it back from a copy of the repository if there is one. What it referred to is "
          "kept until the next prune, which refuses to run as long as the damaged file is there; "
          "`salvor forget` with its id removes it."});
  }
  if (options.snapshots) {
    std::erase_if(snapshots, [&](const StoredSnapshot& stored) {
      return std::find(options.snapshots->begin(), options.snapshots->end(), stored.id) ==
             options.snapshots->end();
    });
  }
  report.snapshots = snapshots.size();
}

void Checker::State::check_keys() {
  for (const ObjectInfo& info : repository.storage().list_all(context, ObjectKind::kKey)) {
    std::string trouble;
    try {
      const Buffer bytes =
          repository.storage().get(context, {ObjectKind::kKey, info.name}, kKeyFileLimit);
      if (to_hex(sha256(bytes.view())) != info.name) {
        trouble = "does not match its name";
      } else {
        (void)decode_key(bytes.view());
      }
    } catch (const Error& error) {
      if (!is_damage(error)) {
        throw;
      }
      trouble = error.message();
    }
    if (!trouble.empty()) {
      find({FindingKind::kKeyUnreadable, "key " + info.name, trouble,
            "Its password does not open the repository any more. Bring the file back from a copy, "
            "or add the password again (`salvor key add`) and remove the file."});
    }
  }
}

void Checker::State::check_locks() {
  for (const ObjectInfo& info : repository.storage().list_all(context, ObjectKind::kLock)) {
    if (info.size_bytes == 0) {
      continue;  // left by a crash; ignored by everybody
    }
    try {
      (void)decode_lock(repository.load_document(context, ObjectKind::kLock, info.name).view());
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kNotFound) {
        continue;  // released or refreshed meanwhile
      }
      if (error.code() != ErrorCode::kDamaged) {
        throw;
      }
      find({FindingKind::kLockUnreadable, "lock " + info.name, error.message(),
            "It blocks other commands. If no backup program is at work, run `salvor unlock "
            "--remove-all`."});
    }
  }
}

// --- trees ---------------------------------------------------------------------------------------

// One finding a tree or blob, however many refer to it. Call with `mutex` held.
void Checker::State::tree_trouble(FindingKind kind, const BlobId& tree, const std::string& what) {
  const BlobHandle handle{BlobType::kTree, tree};
  if (const auto told = told_blobs.find(handle); told != told_blobs.end()) {
    return;  // explained by a missing or truncated pack, or another trouble of the same tree
  }
  const bool invalid = kind == FindingKind::kTreeInvalid;
  const size_t place =
      find({kind, "tree " + tree.hex(), what,
            invalid ? "`salvor repair snapshots --forget` replaces it by what can be kept of it."
                    : healing(handle)});
  hit(handle, place);
}

void Checker::State::check_tree(const BlobId& id, const Tree& tree) {
  const Node* before = nullptr;
  for (const Node& node : tree.nodes) {
    if (const std::string trouble = node_trouble(node, before); !trouble.empty()) {
      const std::scoped_lock lock(mutex);
      tree_trouble(FindingKind::kTreeInvalid, id, trouble);
      return;
    }
    before = &node;
  }
}

void Checker::State::blob_missing(const BlobHandle& handle) {
  if (handle.id.is_null()) {
    return;  // told as an invalid tree
  }
  const std::scoped_lock lock(mutex);
  const std::string why = missing_text(handle);
  if (handle.type == BlobType::kTree) {
    tree_trouble(FindingKind::kTreeUnreadable, handle.id, why);
    return;
  }
  if (!told_blobs.contains(handle)) {
    const size_t place =
        find({FindingKind::kBlobMissing, "data blob " + handle.id.hex(), why, healing(handle)});
    hit(handle, place);
  }
}

std::string Checker::State::missing_text(const BlobHandle& handle) const {
  const std::optional<PackId> marked = repository.find_marked(handle);
  return marked ? "pack " + marked->hex() + ", which holds it, is marked for deletion"
                : "no index lists it";
}

// What to do about a blob that is missing or damaged.
std::string Checker::State::healing(const BlobHandle& handle) {
  if (!repository.find_marked(handle)) {
    return kHeal;
  }
  report.suggest_prune = true;
  return "Run `salvor prune`: it takes back what is needed after all.";
}

void Checker::State::check_trees() {
  TreeWalkHandlers handlers;
  handlers.trees_read = &progress.trees;
  handlers.on_tree = [this](const BlobId& id, const Tree& tree) { check_tree(id, tree); };
  handlers.on_missing = [this](const BlobId&, const Node&, const BlobHandle& handle) {
    blob_missing(handle);
  };
  handlers.on_unreadable = [this](const BlobId& id, const Error& error) {
    const std::scoped_lock lock(mutex);
    tree_trouble(FindingKind::kTreeUnreadable, id, error.message());
  };
  std::vector<BlobId> roots;
  for (const StoredSnapshot& stored : snapshots) {
    roots.push_back(stored.snapshot.tree);
  }
  used = std::make_unique<EntrySet>(repository.index().entry_count());
  mark_used_blobs(context, repository, roots, options.threads, handlers, *used);
  report.trees = progress.trees;
}

// --- data ----------------------------------------------------------------------------------------

void Checker::State::choose_at_random(std::vector<uint32_t>& chosen, double fraction) const {
  const auto wanted = static_cast<size_t>(fraction * static_cast<double>(chosen.size()));
  const size_t count = std::min(chosen.size(), std::max<size_t>(wanted, 1));
  for (size_t i = 0; i < count; ++i) {
    const size_t other = i + context.random.next_u64() % (chosen.size() - i);
    std::swap(chosen[i], chosen[other]);
  }
  chosen.resize(count);
}

std::vector<uint32_t> Checker::State::packs_to_read() const {
  std::vector<uint32_t> chosen;
  uint64_t total = 0;
  for (uint32_t i = 0; i < table->size(); ++i) {
    const PackFacts& facts = packs.at(table->id(i));
    if (!facts.present) {
      continue;
    }
    const std::span<const Index::EntryNumber> entries = table->entries(i);
    if (options.snapshots &&
        std::none_of(entries.begin(), entries.end(),
                     [&](Index::EntryNumber number) { return used->contains(number); })) {
      continue;
    }
    if (const auto* part = std::get_if<ReadPart>(&options.read);
        part != nullptr &&
        std::to_integer<unsigned>(table->id(i).digest()[0]) % part->parts != part->part - 1) {
      continue;
    }
    total += facts.real_size;
    chosen.push_back(i);
  }
  if (chosen.empty()) {
    return chosen;
  }
  if (const auto* percent = std::get_if<ReadPercent>(&options.read)) {
    choose_at_random(chosen, percent->percent / 100);
  } else if (const auto* bytes = std::get_if<ReadBytes>(&options.read)) {
    choose_at_random(chosen, static_cast<double>(bytes->bytes) /
                                 static_cast<double>(std::max<uint64_t>(total, 1)));
  }
  return chosen;
}

void Checker::State::read_pack(const Context& inner, PackReader& reader, uint32_t number) {
  const PackId& pack = table->id(number);
  const std::vector<PackedBlob> blobs = table->blobs(number);
  const PackVerdict verdict = reader.verify(inner, pack, packs.at(pack).real_size, blobs);
  ++progress.packs_read;
  progress.bytes_read += verdict.bytes_read;
  progress.plain_bytes += verdict.plain_bytes;
  if (!verdict.sound()) {
    const std::scoped_lock lock(mutex);
    pack_is_damaged(pack, verdict);
  }
}

// Call with `mutex` held.
void Checker::State::pack_is_damaged(const PackId& pack, const PackVerdict& verdict) {
  std::string what = verdict.problems.front();
  for (size_t i = 1; i < verdict.problems.size(); ++i) {
    what += "; " + verdict.problems[i];
  }
  if (!verdict.damaged.empty()) {
    what += " (" + std::to_string(verdict.damaged.size()) + " damaged blobs)";
  }
  if (!verdict.unreadable) {
    if (std::find(report.broken_packs.begin(), report.broken_packs.end(), pack) ==
        report.broken_packs.end()) {
      report.broken_packs.push_back(pack);
    }
  }
  const size_t place =
      find({verdict.unreadable ? FindingKind::kPackUnreadable : FindingKind::kPackDamaged,
            "pack " + pack.hex(), what, repair_packs(pack)});
  for (const PackedBlob& blob : verdict.damaged) {
    DamagedCopies& copies = damaged_copies[blob.handle];
    copies.packs.push_back(pack);
    copies.finding = place;
  }
}

// When all packs are read: another copy may have turned out damaged as well.
void Checker::State::note_damaged_blobs() {
  for (const auto& [handle, copies] : damaged_copies) {
    if (!told_blobs.contains(handle) && !has_sound_copy(handle)) {
      hit(handle, copies.finding);
    }
  }
}

void Checker::State::read_packs() {
  if (std::holds_alternative<ReadNothing>(options.read)) {
    return;
  }
  const std::vector<uint32_t> chosen = packs_to_read();
  for (const uint32_t number : chosen) {
    progress.bytes_to_read += packs.at(table->id(number)).real_size;
  }
  progress.packs_to_read = chosen.size();
  {
    std::atomic<size_t> next = 0;  // outlives the tasks
    ThreadPool pool("salvor-check", options.threads);
    TaskGroup group(pool, context.stop);
    for (unsigned i = 0; i < options.threads; ++i) {
      group.run([this, &chosen, &next, inner = context.with_stop(group.stop_token())] {
        PackReader reader(repository);
        for (size_t at = next++; at < chosen.size(); at = next++) {
          inner.check_stopped();
          read_pack(inner, reader, chosen[at]);
        }
      });
    }
    group.wait();
  }
  report.packs_read = chosen.size();
  report.bytes_read = progress.bytes_read;
  report.plain_bytes = progress.plain_bytes;
  note_damaged_blobs();
}

void Checker::State::sort_findings() {
  std::sort(report.findings.begin(), report.findings.end(),
            [](const Finding& left, const Finding& right) {
              return left.kind != right.kind ? left.kind < right.kind : left.object < right.object;
            });
  std::sort(report.broken_packs.begin(), report.broken_packs.end());
}

void Checker::State::trace_damage() {
  damage.trace(context, repository, snapshots, options.threads, report.findings);
}

// -------------------------------------------------------------------------------------------------

Checker::Checker(const Context& context, Repository& repository, CheckOptions options)
    : state_(std::make_unique<State>(context, repository, std::move(options))) {}

Checker::~Checker() = default;

CheckReport Checker::run() {
  State& state = *state_;
  state.check_keys();
  state.check_locks();
  // Whoever stores something meanwhile (a program without locks) does so in the other order: what a
  // snapshot refers to is in an index that is read later.
  state.check_snapshots();
  state.check_index();
  state.check_packs();
  if (state.index_complete) {
    state.check_trees();
    state.read_packs();
    state.trace_damage();
  }
  state.sort_findings();
  return std::move(state.report);
}

std::string_view finding_kind_name(FindingKind kind) {
  switch (kind) {
    case FindingKind::kIndexUnreadable:
      return "index-unreadable";
    case FindingKind::kIndexConflict:
      return "index-conflict";
    case FindingKind::kPackMissing:
      return "pack-missing";
    case FindingKind::kPackSize:
      return "pack-size";
    case FindingKind::kPackDamaged:
      return "pack-damaged";
    case FindingKind::kPackUnreadable:
      return "pack-unreadable";
    case FindingKind::kBlobMissing:
      return "blob-missing";
    case FindingKind::kSnapshotUnreadable:
      return "snapshot-unreadable";
    case FindingKind::kTreeUnreadable:
      return "tree-unreadable";
    case FindingKind::kTreeInvalid:
      return "tree-invalid";
    case FindingKind::kKeyUnreadable:
      return "key-unreadable";
    case FindingKind::kLockUnreadable:
      return "lock-unreadable";
    case FindingKind::kPackUnreferenced:
      return "pack-unreferenced";
    case FindingKind::kPackTwice:
      return "pack-twice";
    case FindingKind::kPackMixed:
      return "pack-mixed";
  }
  return "unknown";
}

ReadSubset parse_read_subset(std::string_view text) {
  const auto refuse = [&](const char* hint) -> Error {
    return {ErrorCode::kUsage, "\"" + std::string(text) + "\" does not say which packs to read",
            hint};
  };
  if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    ReadPart part{0, 0};
    const char* const end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), text.data() + slash, part.part);
    const auto second = std::from_chars(text.data() + slash + 1, end, part.parts);
    if (first.ec != std::errc() || second.ec != std::errc() || second.ptr != end ||
        first.ptr != text.data() + slash || part.part == 0 || part.part > part.parts ||
        part.parts > kMostParts) {
      throw refuse("Write n/t with 1 <= n <= t <= 256, as in 1/5.");
    }
    return part;
  }
  if (text.ends_with('%')) {
    ReadPercent percent{0};
    const char* const end = text.data() + text.size() - 1;
    const auto [rest, failure] = std::from_chars(text.data(), end, percent.percent);
    if (failure != std::errc() || rest != end || !(percent.percent > 0) || percent.percent > 100) {
      throw refuse("Write a percentage above 0 % and at most 100 %, as in 2.5%.");
    }
    return percent;
  }
  const std::optional<uint64_t> bytes = parse_bytes(text);
  if (!bytes || *bytes == 0) {
    throw refuse("Write n/t, a percentage like 2.5%, or a size like 10G.");
  }
  return ReadBytes{*bytes};
}

}  // namespace salvor
