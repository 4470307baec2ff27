#include "engine/copies/copies.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <set>
#include <unordered_map>

#include <sys/stat.h>

#include "codec/pack_header.h"
#include "engine/reading/pack_table.h"
#include "storage/layout.h"

namespace salvor {
namespace {

constexpr size_t kRuleCopies = 3;
constexpr size_t kRuleKinds = 2;

// All but the errors.
CopyRule rule_of(std::span<const CopyPlace> places, const CopiedSnapshot& copied) {
  CopyRule rule{.copies = copied.places.size() + 1};
  std::set<std::string> kinds{"local"};  // the original's
  for (const size_t number : copied.places) {
    const CopyPlace& place = places[number];
    kinds.insert(place.kind);
    rule.offsite += place.offsite ? 1 : 0;
    rule.immutable += place.immutable.value_or(false) ? 1 : 0;
  }
  rule.kinds = kinds.size();
  return rule;
}

// ---- parts of place_key ----

std::string cleaned(std::string_view path) {
  return (path.starts_with('/') ? "/" : "") + clean_prefix(path).value_or(std::string(path));
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), ::tolower);
  return result;
}

// "host:9000" of "me:password@HOST:9000"; without a port that is `usual`.
std::string host_key(std::string_view authority, std::string_view usual) {
  authority.remove_prefix(authority.rfind('@') + 1);
  if (authority.ends_with(usual)) {
    authority.remove_suffix(usual.size());
  }
  return lower(authority);
}

// Symbolic links and mounts may lead to one directory.
std::string file_key(const std::string& path) {
  struct stat info{};
  if (::stat(path.c_str(), &info) == 0) {
    return std::to_string(info.st_dev) + "/" + std::to_string(info.st_ino);
  }
  return std::filesystem::absolute(path).lexically_normal().string();
}

// Of "https://host/path", "//host/path", "host/path".
std::string url_key(std::string_view rest) {
  if (rest.starts_with("http+unix:")) {
    return std::string(rest);
  }
  const std::string_view usual = rest.starts_with("http:") ? ":80" : ":443";
  if (const size_t marker = rest.find("//"); marker != std::string_view::npos && marker <= 6) {
    rest.remove_prefix(marker + 2);
  }
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view path = rest.substr(slash, rest.find('?') - slash);
  return host_key(rest.substr(0, slash), usual) + cleaned(path);
}

// Of "user@host:path", "//user@host:22/path". A path that is not absolute is the user's.
std::string sftp_key(std::string_view rest) {
  const bool url = rest.starts_with("//");
  rest.remove_prefix(url ? 2 : 0);
  const size_t end = std::min(rest.find(url ? '/' : ':'), rest.size());
  const std::string_view authority = rest.substr(0, end);
  const std::string_view path = rest.substr(std::min(end + 1, rest.size()));
  const size_t at = authority.rfind('@');
  const std::string user(path.starts_with('/') || at == std::string_view::npos
                             ? std::string_view()
                             : authority.substr(0, at + 1));
  return user + host_key(authority, ":22") + ":" + cleaned(path);
}

// Of "bucket:/path", "remote:path". `from_root`: a slash in front makes no difference.
std::string named_key(std::string_view rest, bool from_root) {
  const size_t colon = std::min(rest.find(':'), rest.size());
  std::string_view path = rest.substr(std::min(colon + 1, rest.size()));
  if (from_root) {
    path.remove_prefix(std::min(path.find_first_not_of('/'), path.size()));
  }
  return std::string(rest.substr(0, colon)) + ":" + cleaned(path);
}

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
  for (const CopyPlace& place : places) {
    rule.errors += place.errors;
  }
  for (bool first = true; const CopiedSnapshot& copied : snapshots) {
    const CopyRule one = rule_of(places, copied);
    rule.copies = first ? one.copies : std::min(rule.copies, one.copies);
    rule.kinds = first ? one.kinds : std::min(rule.kinds, one.kinds);
    rule.offsite = first ? one.offsite : std::min(rule.offsite, one.offsite);
    rule.immutable = first ? one.immutable : std::min(rule.immutable, one.immutable);
    first = false;
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

std::string place_key(std::string_view location) {
  const std::string kind = place_kind(location);
  if (location.starts_with(kind + ":")) {
    location.remove_prefix(kind.size() + 1);
  }
  if (kind == "local" || kind == "tar") {
    return kind + ":" + file_key(std::string(location));
  }
  if (kind == "s3" || kind == "rest") {
    return kind + ":" + url_key(location);
  }
  return kind + ":" + (kind == "sftp" ? sftp_key(location) : named_key(location, kind != "rclone"));
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
