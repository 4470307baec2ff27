#include "engine/copies/copies.h"

#include <algorithm>
#include <map>
#include <set>
#include <unordered_map>

#include "codec/pack_header.h"
#include "engine/reading/pack_table.h"

namespace salvor {
namespace {

constexpr size_t kRuleCopies = 3;
constexpr size_t kRuleKinds = 2;

}  // namespace

std::vector<CopiedSnapshot> match_copies(std::span<const CopyPlace> places) {
  std::map<std::pair<std::string, std::string>, CopiedSnapshot> found;
  for (size_t place = 0; place < places.size(); ++place) {
    for (const StoredSnapshot& stored : places[place].snapshots) {
      const SnapshotId first = stored.snapshot.original.value_or(stored.id);
      const auto [at, is_new] = found.try_emplace({first.hex(), stored.snapshot.tree.hex()});
      CopiedSnapshot& copied = at->second;
      if (is_new) {
        copied.snapshot = stored;
      }
      if (copied.places.empty() || copied.places.back() != place) {
        copied.places.push_back(place);
      }
    }
  }
  std::vector<CopiedSnapshot> copies;
  copies.reserve(found.size());
  for (auto& [key, copied] : found) {
    copies.push_back(std::move(copied));
  }
  std::ranges::stable_sort(copies, [](const CopiedSnapshot& left, const CopiedSnapshot& right) {
    return left.snapshot.snapshot.time.before(right.snapshot.snapshot.time);
  });
  return copies;
}

bool CopyRule::met() const {
  return copies >= kRuleCopies && kinds >= kRuleKinds && offsite > 0 && immutable > 0 &&
         errors == 0;
}

CopyRule count_rule(std::span<const CopyPlace> places, std::span<const CopiedSnapshot> snapshots) {
  CopyRule rule;
  std::set<std::string> kinds{"local"};  // the original's
  for (const CopyPlace& place : places) {
    rule.errors += place.errors;
    if (place.snapshots.empty()) {
      continue;
    }
    kinds.insert(place.kind);
    rule.offsite += place.offsite ? 1 : 0;
    rule.immutable += place.immutable.value_or(false) ? 1 : 0;
  }
  rule.kinds = kinds.size();
  if (!snapshots.empty()) {
    const auto fewest = std::ranges::min_element(
        snapshots, {}, [](const CopiedSnapshot& copied) { return copied.places.size(); });
    rule.copies = fewest->places.size() + 1;
  }
  return rule;
}

uint64_t count_lost_packs(const Context& context, Repository& repository) {
  const PackTable table(repository.index());
  std::vector<bool> whole(table.size());
  repository.storage().list(context, ObjectKind::kPack, [&](const ObjectInfo& info) {
    const auto id = PackId::parse(info.name);
    const auto number = id ? table.find(*id) : std::nullopt;
    if (!number) {
      return;
    }
    uint64_t end = kPackTrailer;
    for (const Index::EntryNumber entry : table.entries(*number)) {
      const PackedBlob blob = repository.index().entry(entry).blob;
      end = std::max(end, uint64_t{blob.offset} + blob.length + kPackTrailer);
    }
    whole[*number] = info.size_bytes >= end;
  });
  return static_cast<uint64_t>(std::ranges::count(whole, false));
}

std::string place_kind(std::string_view location) {
  const size_t colon = location.find(':');
  if (colon == std::string_view::npos || colon == 0 || location[0] == '.' ||
      location.substr(0, colon).find('/') != std::string_view::npos) {
    return "local";
  }
  return std::string(location.substr(0, colon));
}

bool is_offsite(std::string_view location, std::string_view hostname) {
  const std::string kind = place_kind(location);
  if (kind == "local" || kind == "tar") {
    return false;
  }
  std::string_view rest = location.substr(kind.size() + 1);
  if (rest.starts_with("http+unix:")) {
    return false;
  }
  if (const size_t marker = rest.find("//"); marker != std::string_view::npos && marker <= 6) {
    rest.remove_prefix(marker + 2);
  }
  rest = rest.substr(0, rest.find('/'));
  if (const size_t at = rest.rfind('@'); at != std::string_view::npos) {
    rest.remove_prefix(at + 1);
  }
  if (rest.starts_with('[')) {
    return !rest.starts_with("[::1]");
  }
  const std::string_view host = rest.substr(0, rest.find(':'));
  return host != "localhost" && !host.starts_with("127.") && (hostname.empty() || host != hostname);
}

}  // namespace salvor
