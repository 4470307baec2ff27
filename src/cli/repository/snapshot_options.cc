#include "cli/repository/snapshot_options.h"

#include <array>
#include <ctime>
#include <iterator>

#include "base/format.h"
#include "codec/documents.h"

namespace salvor::cli {

SnapshotFilter FilterOptions::filter() const {
  return make_snapshot_filter(hosts, tags, paths);
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
                                 .hint = "\"salvor check\" says what is affected."});
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
