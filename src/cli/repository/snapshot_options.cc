#include "cli/repository/snapshot_options.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <filesystem>
#include <iterator>
#include <system_error>

#include "base/format.h"
#include "codec/documents.h"
#include "model/text_file.h"

namespace salvor::cli {
namespace {

std::string hint_for(const ObjectName& unreadable) {
  const std::string check = "\"salvor check\" says what is affected";
  return unreadable.kind == ObjectKind::kSnapshot
             ? check + "; \"salvor forget " + unreadable.name + "\" removes the snapshot."
             : check + ".";
}

// As a backup from here would record it; one that was recorded by Windows as it is.
std::string recorded_path(const std::string& path) {
  const bool of_windows = path.size() > 2 && path[1] == ':' && (path[2] == '\\' || path[2] == '/');
  if (of_windows) {
    return path;
  }
  std::error_code unknown;
  const std::string here =
      path.starts_with('/') ? "" : std::filesystem::current_path(unknown).string();
  return unknown ? path : clean_path(here + "/" + path);
}

}  // namespace

SnapshotFilter FilterOptions::filter() const {
  std::vector<std::string> recorded;
  std::ranges::transform(paths, std::back_inserter(recorded), recorded_path);
  return make_snapshot_filter(hosts, tags, recorded);
}

std::vector<OptionSpec> filter_option_table(FilterOptions& options, bool short_host,
                                            const std::string& when) {
  return {
      {.long_name = "host",
       .short_name = short_host ? 'H' : '\0',
       .value_name = "host",
       .help = "only consider snapshots for this host" + when +
               " (use empty string to unset default value)",
       .target = &options.hosts,
       .environment = "HOST"},
      {.long_name = "tag",
       .value_name = "tag[,tag,...]",
       .help = "only consider snapshots including tag[,tag,...]" + when,
       .target = &options.tags},
      {.long_name = "path",
       .value_name = "path",
       .help = "only consider snapshots including this (absolute) path" + when +
               ", snapshots must include all specified paths",
       .target = &options.paths},
  };
}

void report_ignored(Session& session, const SnapshotSelection& selection) {
  for (const SnapshotSelection::Ignored& ignored : selection.ignored) {
    session.terminal.warn("ignoring \"" + ignored.argument + "\": " + ignored.reason);
  }
  if (selection.filter_ignored) {
    session.terminal.warn("the filters have no effect: explicit snapshot ids are given");
  }
}

void report_unreadable(Session& session, const std::vector<UnreadableObject>& unreadable) {
  for (const UnreadableObject& item : unreadable) {
    session.events.on(ItemFailed{.operation = "load",
                                 .item = item.object.display(),
                                 .message = item.reason,
                                 .hint = hint_for(item.object)});
  }
}

void append_snapshot_json(JsonWriter& json, const StoredSnapshot& snapshot) {
  // The stored document has restic's fields in restic's order; the ids go in before its closing
  // brace.
  std::string text = encode_snapshot(snapshot.snapshot);
  while (!text.empty() && text.back() != '}') {
    text.pop_back();
  }
  text.pop_back();
  text += ",\"id\":\"" + snapshot.id.hex() + "\",\"short_id\":\"" + snapshot.id.short_hex() + "\"}";
  json.raw(text);
}

std::string local_time_text(const Timestamp& time) {
  const auto seconds = static_cast<std::time_t>(time.seconds);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  std::array<char, 64> text{};
  const size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &local);
  return {text.data(), length};
}

std::string snapshot_text(const StoredSnapshot& stored) {
  const Snapshot& snapshot = stored.snapshot;
  std::string paths;
  for (const std::string& path : snapshot.paths) {
    paths += (paths.empty() ? "" : " ") + printable(path);
  }
  return "snapshot " + stored.id.short_hex() + " of [" + paths + "] at " +
         local_time_text(snapshot.time) + " by " + printable(snapshot.username) + "@" +
         printable(snapshot.hostname);
}

}  // namespace salvor::cli
