#include "cli/output/snapshot_table.h"

#include <algorithm>

#include "base/format.h"
#include "cli/output/table.h"
#include "cli/repository/snapshot_options.h"

namespace salvor::cli {

namespace {

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const std::string& word : words) {
    text += (&word == &words.front() ? "" : between) + printable(word);
  }
  return text;
}

}  // namespace

void print_snapshot_table(Terminal& terminal, const std::vector<StoredSnapshot>& snapshots,
                          bool compact, const std::vector<KeepReason>& reasons) {
  const bool sizes = std::any_of(snapshots.begin(), snapshots.end(), [](const StoredSnapshot& s) {
    return s.snapshot.summary.has_value();
  });
  const bool several_lines =
      std::any_of(snapshots.begin(), snapshots.end(),
                  [](const StoredSnapshot& s) { return s.snapshot.paths.size() > 1; });
  Table table;
  // The widths of restic's headers, trailing spaces included: scripts cut these tables by column.
  table.add_column("ID");
  table.add_column("Time");
  table.add_column(compact ? "Host" : "Host      ");
  table.add_column(compact ? "Tags  " : "Tags      ");
  if (!reasons.empty()) {
    table.add_column("Reasons");
  }
  if (!compact) {
    table.add_column("Paths");
  }
  if (sizes) {
    table.add_column("Size");
  }
  for (size_t i = 0; i < snapshots.size(); ++i) {
    const Snapshot& snapshot = snapshots[i].snapshot;
    std::vector<std::string> cells{snapshots[i].id.short_hex(), local_time_text(snapshot.time),
                                   printable(snapshot.hostname),
                                   joined(snapshot.tags, compact ? "\n" : ",")};
    if (i < reasons.size()) {
      cells.push_back(joined(reasons[i].matches, "\n"));
    }
    if (!compact) {
      // Where entries have several lines, an empty one parts each from the next.
      const bool part = several_lines && i + 1 < snapshots.size();
      cells.push_back(joined(snapshot.paths, "\n") + (part ? "\n" : ""));
    }
    if (sizes) {
      cells.push_back(snapshot.summary ? format_bytes(snapshot.summary->total_bytes_processed)
                                       : std::string());
    }
    table.add_row(std::move(cells));
  }
  table.add_footer("Timestamps shown in local time");
  table.add_footer(std::to_string(snapshots.size()) + " snapshots");
  terminal.print(table.text());
}

std::string snapshot_group_title(const SnapshotGroup& group, const GroupBy& by) {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  if (by.host) {
    add("host [" + printable(group.host) + "]");
  }
  if (by.tags && !group.tags.empty()) {
    add("tags [" + joined(group.tags, ", ") + "]");
  }
  if (by.paths) {
    add("paths [" + joined(group.paths, ", ") + "]");
  }
  return "snapshots for (" + text + "):";
}

void append_group_key(JsonWriter& json, const SnapshotGroup& group) {
  json.begin_object().field("hostname", group.host);
  group.paths.empty() ? json.key("paths").null() : json.field("paths", group.paths);
  group.tags.empty() ? json.key("tags").null() : json.field("tags", group.tags);
  json.end_object();
}

}  // namespace salvor::cli
