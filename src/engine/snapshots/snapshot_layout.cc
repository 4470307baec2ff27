#include "engine/snapshots/snapshot_layout.h"

#include <algorithm>
#include <array>
#include <ctime>

#include "base/error.h"
#include "base/format.h"

namespace salvor {

namespace {

constexpr std::string_view kLatest = "latest";
constexpr std::string_view kVerbs = "iIuhtT";

std::string strftime_text(const Timestamp& time, const std::string& format) {
  const auto shifted = static_cast<std::time_t>(time.seconds + time.utc_offset_seconds);
  std::tm parts{};
  ::gmtime_r(&shifted, &parts);
  parts.tm_gmtoff = time.utc_offset_seconds;
  std::array<char, 256> text{};
  return {text.data(), std::strftime(text.data(), text.size(), format.c_str(), &parts)};
}

std::string time_text(const Timestamp& time, const std::string& layout) {
  const std::string text = layout.find('%') == std::string::npos ? format_go_layout(time, layout)
                                                                 : strftime_text(time, layout);
  return text.empty() ? "_" : text;
}

// A text of the snapshot's as one component of a path, whatever it is.
std::string component(std::string text) {
  std::replace(text.begin(), text.end(), '/', '_');
  if (text.empty() || text == ".") {
    return "_";
  }
  return text == ".." ? "__" : text;
}

// The paths that a template gives for a snapshot: one, or one a tag. A %T at the end is left out
// and reported, because its name may have to be made unique.
struct Expansion {
  std::vector<std::string> paths = {""};
  bool time_at_end = false;
};

void append_to_all(std::vector<std::string>& paths, const std::string& text) {
  for (std::string& path : paths) {
    path += text;
  }
}

void append_each_tag(std::vector<std::string>& paths, const std::vector<std::string>& tags) {
  std::vector<std::string> longer;
  for (const std::string& tag : tags) {
    for (const std::string& path : paths) {
      longer.push_back(path + component(tag));
    }
  }
  paths = std::move(longer);
}

Expansion expand(std::string_view path_template, const StoredSnapshot& stored,
                 const std::string& time) {
  Expansion result;
  const Snapshot& snapshot = stored.snapshot;
  for (size_t at = 0; at < path_template.size(); ++at) {
    if (path_template[at] != '%' || at + 1 == path_template.size()) {
      append_to_all(result.paths, std::string(1, path_template[at]));
      continue;
    }
    switch (const char verb = path_template[++at]; verb) {
      case 'i':
        append_to_all(result.paths, stored.id.short_hex());
        break;
      case 'I':
        append_to_all(result.paths, stored.id.hex());
        break;
      case 'u':
        append_to_all(result.paths, component(snapshot.username));
        break;
      case 'h':
        append_to_all(result.paths, component(snapshot.hostname));
        break;
      case 't':
        append_each_tag(result.paths, snapshot.tags);
        break;
      case 'T':
        result.time_at_end = at + 1 == path_template.size();
        append_to_all(result.paths, result.time_at_end ? "" : time);
        break;
      default:
        append_to_all(result.paths, std::string(1, verb));
    }
  }
  return result;
}

std::vector<std::string> components(std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const size_t end = std::min(path.find('/'), path.size());
    if (end > 0) {
      parts.push_back(component(std::string(path.substr(0, end))));
    }
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

// "name", or the first of "name-1", "name-2" ... for which `usable` says yes.
template <class Usable>
std::string unique_name(const std::string& name, Usable usable) {
  std::string candidate = name;
  for (int number = 1; !usable(candidate); ++number) {
    candidate = name + "-" + std::to_string(number);
  }
  return candidate;
}

// The made-up directory of that path; what is a snapshot already is no directory.
LayoutEntry& directory_at(LayoutEntry& root, std::span<const std::string> path) {
  LayoutEntry* at = &root;
  for (const std::string& name : path) {
    const auto usable = [&](const std::string& candidate) {
      const auto found = at->children.find(candidate);
      return found == at->children.end() || (!found->second.tree && found->second.link.empty());
    };
    at = &at->children[unique_name(name, usable)];
  }
  return *at;
}

// Returns the name that it got in the directory.
std::string add_snapshot(LayoutEntry& directory, const std::string& name,
                         const StoredSnapshot& stored) {
  const std::string free_name = unique_name(
      name, [&](const std::string& candidate) { return !directory.children.contains(candidate); });
  LayoutEntry& entry = directory.children[free_name];
  entry.tree = stored.snapshot.tree;
  entry.time = directory.time = stored.snapshot.time;
  return free_name;
}

void link_latest(LayoutEntry& directory, const std::string& target, const StoredSnapshot& stored) {
  LayoutEntry& latest = directory.children[std::string(kLatest)];
  if (!latest.tree && latest.children.empty()) {
    latest.link = target;
    latest.time = stored.snapshot.time;
  }
}

// `path` is what the template gives before a time at its end. The time may have directories of its
// own ("2006/01/02"): the link stands above them, and "%h-%T" begins its name before the time.
void place(LayoutEntry& root, const std::string& path, const std::string& time,
           const StoredSnapshot& stored) {
  std::vector<std::string> parts = components(path + time);
  const std::string name = parts.back();
  parts.pop_back();
  const std::string free_name = add_snapshot(directory_at(root, parts), name, stored);
  if (time.empty()) {
    return;
  }
  const std::vector<std::string> above = components(path.substr(0, path.rfind('/') + 1));
  std::string target;
  for (size_t i = above.size(); i < parts.size(); ++i) {
    target += parts[i] + "/";
  }
  link_latest(directory_at(root, above), target + free_name, stored);
}

// "hosts" of "hosts/%h/%T".
std::string_view static_directory(std::string_view path_template) {
  for (size_t at = 0; at + 1 < path_template.size(); ++at) {
    if (path_template[at] != '%') {
      continue;
    }
    if (kVerbs.find(path_template[at + 1]) != std::string_view::npos) {
      const size_t slash = path_template.substr(0, at).rfind('/');
      return slash == std::string_view::npos ? std::string_view() : path_template.substr(0, slash);
    }
    ++at;
  }
  return {};
}

}  // namespace

void check_layout(const SnapshotLayoutOptions& options) {
  const std::string& time = options.time_template;
  if (time.empty() || time.starts_with('/') || time.ends_with('/')) {
    throw Error(ErrorCode::kUsage, "--time-template \"" + printable(time) + "\" is not a name",
                "Write a time as in Go, \"2006-01-02_15-04-05\", or strftime, \"%F_%T\".");
  }
  for (const std::string& path : options.path_templates) {
    if (components(path).empty()) {
      throw Error(ErrorCode::kUsage, "--path-template \"" + printable(path) + "\" names nothing",
                  "Write a path with %i, %I, %u, %h, %t or %T, for example \"hosts/%h/%T\".");
    }
  }
}

LayoutEntry lay_out(const SnapshotLayoutOptions& options,
                    const std::vector<StoredSnapshot>& snapshots) {
  LayoutEntry root;
  for (const std::string& path_template : options.path_templates) {
    directory_at(root, components(static_directory(path_template)));
  }
  for (const StoredSnapshot& stored : snapshots) {
    const std::string time = time_text(stored.snapshot.time, options.time_template);
    for (const std::string& path_template : options.path_templates) {
      const Expansion expansion = expand(path_template, stored, time);
      for (const std::string& path : expansion.paths) {
        place(root, path, expansion.time_at_end ? time : std::string(), stored);
      }
    }
    root.time = stored.snapshot.time;
  }
  return root;
}

}  // namespace salvor
