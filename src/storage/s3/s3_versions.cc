#include "storage/s3/s3_versions.h"

#include <algorithm>

#include "base/format.h"
#include "codec/go_json.h"
#include "net/sigv4.h"

namespace salvor {
namespace {

constexpr uint64_t kListReply = uint64_t{8} << 20;
// versitygw gives a version that is not the newest any more the time when it ceased to be that, and
// a delete marker the time of what it hides. Its ids are ULIDs, which begin with the time of making
// in milliseconds: 10 digits of base 32.
std::optional<WallTime> time_of_ulid(std::string_view id) {
  static constexpr std::string_view kDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  if (id.size() != 26 || id.find_first_not_of(kDigits) != std::string_view::npos || id[0] > '7') {
    return std::nullopt;
  }
  int64_t milliseconds = 0;
  for (const char digit : id.substr(0, 10)) {
    milliseconds = milliseconds * 32 + static_cast<int64_t>(kDigits.find(digit));
  }
  constexpr int64_t kFirst = 1'420'070'400'000;  // 2015: anything before is no time
  constexpr int64_t kLast = 4'102'444'800'000;   // 2100
  return milliseconds >= kFirst && milliseconds <= kLast
             ? std::optional(WallTime(std::chrono::milliseconds(milliseconds)))
             : std::nullopt;
}

// Of a <Version> or <DeleteMarker>; nothing without its time or size.
std::optional<S3Version> parse_version(const XmlElement& element) {
  const bool marker = element.name == "DeleteMarker";
  const auto modified = parse_go_time(element.child_text("LastModified"));
  const std::string size = marker ? "0" : element.child_text("Size");
  if (!modified || size.empty() || size.size() > 18 ||
      size.find_first_not_of("0123456789") != std::string::npos) {
    return std::nullopt;
  }
  return S3Version{
      .key = element.child_text("Key"),
      .id = element.child_text("VersionId"),
      .modified = time_of_ulid(element.child_text("VersionId")).value_or(modified->wall()),
      .size_bytes = std::stoull(size),
      .marker = marker,
      .latest = element.child_text("IsLatest") == "true"};
}

}  // namespace

S3VersionsPage parse_s3_versions(const XmlElement& root, const std::string& what) {
  const auto refuse = [&](const char* why) {
    return Error(ErrorCode::kFailed, what + ": " + why, "Does this server keep versions?");
  };
  if (root.name != "ListVersionsResult") {
    throw refuse("the reply is not a list of versions");
  }
  S3VersionsPage page;
  for (const XmlElement& element : root.children) {
    if (element.name != "Version" && element.name != "DeleteMarker") {
      continue;
    }
    auto version = parse_version(element);
    if (!version) {
      throw refuse("the reply has a version without time or size");
    }
    page.versions.push_back(std::move(*version));
  }
  if (root.child_text("IsTruncated") == "true") {
    page.next_key = root.child_text("NextKeyMarker");
    page.next_id = root.child_text("NextVersionIdMarker");
    if (page.next_key.empty()) {
      throw refuse("the list does not go on");
    }
  }
  return page;
}

void list_s3_versions(const Context& context, S3Client& client, const std::string& prefix,
                      const std::function<void(const S3Version&)>& on_version) {
  const std::string what = "cannot list the versions in " + client.settings().description();
  std::string from;
  for (;;) {
    const S3Call call{
        .method = "GET",
        .query = "max-keys=1000&prefix=" + percent_encode(prefix) + "&versions=" + from,
        .limit_bytes = kListReply,
        .what = what,
        .action = "s3:ListBucketVersions"};
    const HttpResponse response = client.execute(context, call);
    const S3VersionsPage page = parse_s3_versions(parse_xml(as_text(response.body.view())), what);
    std::ranges::for_each(page.versions, on_version);
    if (page.next_key.empty()) {
      return;
    }
    std::string next = "&key-marker=" + percent_encode(page.next_key);
    if (!page.next_id.empty()) {
      next += "&version-id-marker=" + percent_encode(page.next_id);
    }
    if (next == from) {
      throw Error(ErrorCode::kFailed, what + ": the list does not go on");
    }
    from = std::move(next);
  }
}

PastObjectMap s3_past(const Context& context, S3Client& client, WallTime as_of) {
  struct State {
    WallTime modified{};
    bool marker = false;
    PastObject object;
  };
  std::map<ObjectName, State> states;
  const std::string root = client.key_of("");
  bool versioned = false;
  list_s3_versions(context, client, root, [&](const S3Version& version) {
    versioned = versioned || (version.id != "null" && !version.id.empty());
    if (version.modified > as_of || !version.key.starts_with(root)) {
      return;
    }
    const auto object = object_at_path(std::string_view(version.key).substr(root.size()));
    if (!object) {
      return;
    }
    const auto [at, is_new] = states.try_emplace(*object);
    // Of the same moment the first counts: the newest comes first.
    if (is_new || version.modified > at->second.modified) {
      at->second = {version.modified, version.marker, {version.id, version.size_bytes}};
    }
  });
  if (!versioned) {
    throw no_past(client.settings().description(), "s3");
  }
  PastObjectMap objects;
  for (auto& [object, state] : states) {
    if (!state.marker) {
      objects.emplace_hint(objects.end(), object, std::move(state.object));
    }
  }
  return objects;
}

}  // namespace salvor
