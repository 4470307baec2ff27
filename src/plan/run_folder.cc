#include "plan/run_folder.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/format.h"

namespace salvor::plan {
namespace {

namespace fs = std::filesystem;

void make_directory(const fs::path& path) {
  constexpr mode_t kOwnerOnly = 0700;
  if (fs::is_directory(path)) {
    return;
  }
  if (path.has_parent_path() && path.parent_path() != path) {
    make_directory(path.parent_path());
  }
  if (::mkdir(path.c_str(), kOwnerOnly) != 0 && errno != EEXIST) {
    throw Error::from_errno(errno, "cannot make directory " + path.string());
  }
  sync_directory(path.parent_path());
}

void write_durably(const fs::path& file, std::string_view content) {
  constexpr mode_t kOwnerOnly = 0600;
  const fs::path part = file.string() + ".part";
  {
    const UniqueFd fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, kOwnerOnly));
    if (!fd) {
      throw Error::from_errno(errno, "cannot write " + part.string());
    }
    write_full(fd.get(), as_bytes(content), part.string());
    if (::fsync(fd.get()) != 0) {
      throw Error::from_errno(errno, "cannot sync " + part.string());
    }
  }
  fs::rename(part, file);
  sync_directory(file.parent_path());
}

bool is_id(const std::string& name) {
  constexpr size_t kDigits = 32;
  return name.size() == kDigits && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

// Others hold a lock for a moment only: who lists runs, and a child that a killed run had forked
// but not yet turned into its program.
std::optional<FileLock> take_patiently(const fs::path& file) {
  constexpr int kTries = 50;
  constexpr auto kPause = std::chrono::milliseconds(10);
  auto lock = FileLock::try_take(file);
  for (int i = 0; !lock && i < kTries; ++i) {
    std::this_thread::sleep_for(kPause);
    lock = FileLock::try_take(file);
  }
  return lock;
}

// What this machine wrote after another one had taken the run over. Nothing may have been begun in
// it: of that the other machine could not know.
void require_nothing_begun(const std::string& id, std::string_view here, std::string_view there) {
  const size_t common = static_cast<size_t>(
      std::mismatch(here.begin(), here.end(), there.begin(), there.end()).first - here.begin());
  const size_t line = common == 0 ? common : here.rfind('\n', common - 1) + 1;
  std::string_view rest = here.substr(line);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string type = parse_entry(rest.substr(0, end)).type;
    if (type == "begin" || type == "undo-begin" || type == "finish-begin") {
      throw Error(ErrorCode::kFailed,
                  "run " + id.substr(0, 8) + " went on here and elsewhere, each in its own way",
                  "Look at both journals; the run cannot be resumed from here.");
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
}

}  // namespace

std::optional<FileLock> FileLock::try_take(const fs::path& file) {
  constexpr mode_t kOwnerOnly = 0600;
  FileLock lock;
  lock.fd_ = UniqueFd(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kOwnerOnly));
  if (!lock.fd_) {
    throw Error::from_errno(errno, "cannot open lock " + file.string());
  }
  if (::flock(lock.fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return {};
    }
    throw Error::from_errno(errno, "cannot lock " + file.string());
  }
  return lock;
}

RunFolder::RunFolder(fs::path state_directory) : runs_(std::move(state_directory) / "runs") {
  make_directory(runs_);
}

std::string RunFolder::new_id(Random& random) {
  constexpr size_t kBytes = 16;
  std::array<std::byte, kBytes> bytes{};
  random.fill(bytes);
  return to_hex(bytes);
}

std::string boot_id() {
  try {
    constexpr uint64_t kLimitBytes = 128;
    const Buffer bytes = read_file("/proc/sys/kernel/random/boot_id", kLimitBytes);
    const std::string text(as_text(bytes.view()));
    return text.substr(0, text.find('\n'));
  } catch (const Error&) {
    return {};
  }
}

std::string RunFolder::machine(Random& random) const {
  const fs::path file = runs_ / "machine";
  constexpr uint64_t kLimitBytes = 64;
  if (!fs::exists(file)) {
    write_durably(file, new_id(random));
  }
  const Buffer bytes = read_file(file.string(), kLimitBytes);
  return std::string(as_text(bytes.view()));
}

void RunFolder::adopt(const std::string& id, std::string_view text) const {
  const fs::path file = journal_of(id);
  static_cast<void>(parse_journal(text, "the journal in the repository"));
  if (fs::exists(file)) {
    std::string here;
    for (const std::string& line : journal_lines(file)) {
      here += line + "\n";
    }
    if (here.starts_with(text)) {
      return;
    }
    if (!text.starts_with(here)) {
      require_nothing_begun(id, here, text);
      fs::rename(file, of(id) / ("journal-until-" + std::to_string(here.size()) + ".jsonl"));
    }
  }
  static_cast<void>(make(id));
  write_durably(file, text);
}

fs::path RunFolder::make(const std::string& id) const {
  make_directory(of(id));
  return of(id);
}

fs::path RunFolder::journal_of(const std::string& id) const {
  return of(id) / "journal.jsonl";
}

std::string RunFolder::find(const std::string& prefix) const {
  std::vector<std::string> found;
  for (const RunListing& run : list()) {
    const bool open = run.problem.empty() && !run.state.finished &&
                      run.state.outcome != "succeeded" && run.state.outcome != "undone";
    if (prefix.empty() ? open : run.id.starts_with(prefix)) {
      found.push_back(run.id);
    }
  }
  if (found.empty()) {
    throw Error(ErrorCode::kNotFound,
                prefix.empty() ? "there is no run that could be resumed"
                               : "there is no run \"" + printable(prefix) + "\"",
                "`salvor plan runs` lists them.");
  }
  if (found.size() > 1) {
    throw Error(ErrorCode::kUsage,
                prefix.empty() ? fmt::format("{} runs could be meant", found.size())
                               : fmt::format("{} runs begin with {}", found.size(), prefix),
                "Give more of the id; `salvor plan runs` lists them.");
  }
  return found.front();
}

std::vector<RunListing> RunFolder::list() const {
  std::vector<RunListing> runs;
  for (const auto& entry : fs::directory_iterator(runs_)) {
    const std::string id = entry.path().filename().string();
    if (!is_id(id) || !fs::exists(journal_of(id))) {
      continue;
    }
    RunListing run{.id = id};
    try {
      const JournalContent content = read_journal(journal_of(id));
      if (content.entries.empty()) {
        continue;  // died before it had begun
      }
      run.state = RunState::of(content);
      run.running = is_running(id);
    } catch (const Error& error) {
      run.problem = error.message();
    }
    runs.push_back(std::move(run));
  }
  std::sort(runs.begin(), runs.end(), [](const RunListing& a, const RunListing& b) {
    return a.state.facts.started != b.state.facts.started
               ? a.state.facts.started > b.state.facts.started
               : a.id < b.id;
  });
  return runs;
}

FileLock RunFolder::lock_plan(const std::string& plan, Mode mode) const {
  const fs::path file = runs_ / fmt::format("{}-{}.lock", plan::name_of(mode), file_name_of(plan));
  auto lock = take_patiently(file);
  if (!lock) {
    throw Error(ErrorCode::kLocked, "plan " + printable(plan) + " is running already",
                "`salvor plan runs` shows it. Wait for its end, or stop it with Ctrl-C where it "
                "runs.");
  }
  return std::move(*lock);
}

FileLock RunFolder::lock_run(const std::string& id) const {
  auto lock = take_patiently(of(id) / "lock");
  if (!lock) {
    throw Error(ErrorCode::kLocked, "run " + id.substr(0, 8) + " is at work in another process",
                "Wait for its end, or stop it with Ctrl-C where it runs.");
  }
  return std::move(*lock);
}

bool RunFolder::is_running(const std::string& id) const {
  return fs::exists(of(id) / "lock") && !FileLock::try_take(of(id) / "lock");
}

void RunFolder::leave_approval(const std::string& id, const std::string& step,
                               const Approval& answer) const {
  const nlohmann::json json{{"granted", answer.granted},
                            {"by", answer.by},
                            {"comment", answer.comment},
                            {"hash", answer.hash}};
  write_durably(of(id) / ("approval-" + file_name_of(step)),
                json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

std::optional<Approval> RunFolder::approval(const std::string& id, const std::string& step) const {
  const fs::path file = of(id) / ("approval-" + file_name_of(step));
  std::error_code none;
  if (!fs::exists(file, none)) {
    return {};
  }
  constexpr uint64_t kLimitBytes = uint64_t{64} << 10;
  try {
    const Buffer bytes = read_file(file.string(), kLimitBytes);
    const auto json = nlohmann::json::parse(as_text(bytes.view()));
    return Approval{.granted = json.at("granted"),
                    .by = json.at("by"),
                    .comment = json.at("comment"),
                    .hash = json.value("hash", "")};
  } catch (const nlohmann::json::exception&) {
    throw Error(ErrorCode::kDamaged, file.string() + " is no answer to an approval",
                "Remove it and approve again.");
  }
}

std::string file_name_of(const std::string& step) {
  std::string name;
  for (const char c : step) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_';
    name += plain ? std::string(1, c) : fmt::format("%{:02x}", static_cast<unsigned char>(c));
  }
  return name;
}

}  // namespace salvor::plan
