#include "config/fingerprint.h"

#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "config/yaml_printer.h"
#include "crypto/sha256.h"

namespace salvor::config {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLimit = uint64_t{16} << 20;
constexpr size_t kValueDigits = 16;  // of a value's hash: to see a change, not to prove one

std::string hash_of(std::string_view text) {
  return to_hex(sha256(as_bytes(text)));
}

void collect(const YamlNode& node, const std::string& path,
             std::map<std::string, std::string>& values) {
  if (node.is_map() && !node.entries.empty()) {
    for (const YamlEntry& entry : node.entries) {
      collect(entry.value, path.empty() ? entry.key : path + "." + entry.key, values);
    }
  } else if (node.is_list() && !node.items.empty()) {
    for (size_t i = 0; i < node.items.size(); ++i) {
      collect(node.items[i], path + "[" + std::to_string(i) + "]", values);
    }
  } else {
    values[path] = hash_of(write_yaml(node)).substr(0, kValueDigits);
  }
}

// One line for the hash, one for each key: "<hash> <key>". A line end in a key would make two of
// one.
std::string encode(const Fingerprint& print) {
  std::string text = print.hash + "\n";
  for (const auto& [key, value] : print.values) {
    text += value + " " + (key.find('\n') == std::string::npos ? key : hash_of(key)) + "\n";
  }
  return text;
}

Fingerprint decode(std::string_view text) {
  Fingerprint print;
  for (bool first = true; !text.empty(); first = false) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (first) {
      print.hash = line;
    } else if (line.size() > kValueDigits) {
      print.values.emplace(line.substr(kValueDigits + 1), line.substr(0, kValueDigits));
    }
  }
  return print;
}

std::vector<std::string> differences(const Fingerprint& before, const Fingerprint& now) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : now.values) {
    const auto old = before.values.find(key);
    if (old == before.values.end()) {
      keys.push_back("+ " + key);
    } else if (old->second != value) {
      keys.push_back(key);
    }
  }
  for (const auto& [key, value] : before.values) {
    if (!now.values.contains(key)) {
      keys.push_back("- " + key);
    }
  }
  return keys;
}

void write_durably(const std::string& path, std::string_view content) {
  const std::string temporary = path + ".new";
  const UniqueFd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!file) {
    throw Error::from_errno(errno, "cannot write " + temporary);
  }
  write_full(file.get(), as_bytes(content), temporary);
  if (::fsync(file.get()) != 0 || ::rename(temporary.c_str(), path.c_str()) != 0) {
    throw Error::from_errno(errno, "cannot write " + path);
  }
  const UniqueFd folder(
      ::open(fs::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder || ::fsync(folder.get()) != 0) {
    throw Error::from_errno(errno, "cannot write " + path);
  }
}

}  // namespace

Fingerprint fingerprint_of(const YamlNode& tree) {
  Fingerprint print{.hash = hash_of(write_yaml(tree)), .values = {}};
  collect(tree, "", print.values);
  return print;
}

void note_configuration(const std::string& path, const Fingerprint& now,
                        const std::function<void(const ConfigurationChange&)>& record) {
  std::error_code error;
  const fs::path folder = fs::path(path).parent_path();
  if (fs::create_directories(folder, error)) {
    ::chmod(folder.c_str(), S_IRWXU);
  }
  if (error) {
    throw Error::from_errno(error.value(), "cannot make the directory " + folder.string());
  }
  // Of two commands that see a change at once, one records it.
  const std::string lock_path = path + ".lock";
  const UniqueFd lock(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock) {
    throw Error::from_errno(errno, "cannot open " + lock_path);
  }
  while (::flock(lock.get(), LOCK_EX) != 0) {
    if (errno != EINTR) {
      throw Error::from_errno(errno, "cannot lock " + lock_path);
    }
  }
  Fingerprint before;
  if (fs::exists(path, error)) {
    before = decode(as_text(read_file(path, kLimit).view()));
  }
  if (before.hash == now.hash) {
    return;
  }
  record({.before = before.hash,
          .after = now.hash,
          .keys = before.hash.empty() ? std::vector<std::string>{} : differences(before, now)});
  write_durably(path, encode(now));
}

}  // namespace salvor::config
