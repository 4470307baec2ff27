#include "cli/stores/files_sandbox.h"

#include <algorithm>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/format.h"
#include "engine/postgres/postgres_proof.h"
#include "engine/restore/restorer.h"
#include "model/count_text.h"
#include "plan/shell.h"

namespace salvor::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPage = 8192;

std::vector<fs::path> regular_files(const std::string& root) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
    if (entry.is_regular_file() && !entry.is_symlink() && entry.file_size() > 0) {
      files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// Up to `limit` bytes from the start become noise; size and time stay.
void overwrite(const Context& context, const fs::path& path, uint64_t limit) {
  struct stat before{};
  const UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file || ::fstat(file.get(), &before) != 0) {
    throw Error::from_errno(errno, "cannot damage " + path.string());
  }
  Buffer noise;
  noise.resize(std::min<uint64_t>({limit, static_cast<uint64_t>(before.st_size), 1U << 20}));
  for (uint64_t at = 0; at < std::min<uint64_t>(limit, before.st_size); at += noise.size()) {
    context.random.fill({noise.data(), noise.size()});
    const size_t part = std::min<uint64_t>(noise.size(), before.st_size - at);
    pwrite_full(file.get(), noise.view().first(part), at, path.string());
  }
  const struct timespec times[2] = {before.st_atim, before.st_mtim};
  ::futimens(file.get(), times);
}

class FilesSandbox final : public SandboxedStore {
 public:
  FilesSandbox(const StoreSite& site, const SourceSpec& source, const std::string& parent)
      : site_(site), source_(source), sandbox_(parent), root_(sandbox_.path() + "/data") {
    fs::create_directory(root_);
  }

  [[nodiscard]] TextMap outputs() const override { return {{"directory", directory()}}; }

  [[nodiscard]] RestoreOutcome recover(const Context& context, const RestoreOrder& order) override {
    SourceRepository at(site_, context, source_, {.lock = LockMode::kShared});
    const std::vector<StoredSnapshot> snapshots =
        files_snapshots(site_, at.context(), at.repository(), source_);
    snapshot_ = choose_snapshot(snapshots, order.moment, order.base, captured_at, source_.name);
    at.repository().load_index(at.context());
    if (order.on_step) {
      order.on_step("restoring snapshot " + snapshot_.id.short_hex() + " to " + root_);
    }
    const MonotonicTime begun = context.clock.monotonic();
    fs::create_directories(root_);
    RestoreOptions options;
    options.target = root_;
    options.delete_unexpected = true;
    Restorer restorer(at.repository());
    const RestoreResult done = restorer.run(at.context(), snapshot_.snapshot.tree, options);
    if (done.errors > 0) {
      throw Error(ErrorCode::kIncomplete,
                  fmt::format("{} items could not be restored", done.errors));
    }
    RestoreOutcome outcome;
    outcome.snapshot = snapshot_.id.hex();
    outcome.reached = captured_at(snapshot_);
    outcome.restored_bytes = restorer.progress().bytes_restored;
    outcome.written_bytes = restorer.progress().bytes_written;
    outcome.facts = {
        {"restore-seconds",
         fmt::format("{:.3f}",
                     std::chrono::duration<double>(context.clock.monotonic() - begun).count())}};
    restored_ = outcome;
    return outcome;
  }
  [[nodiscard]] RestoreOutcome restored() const override { return restored_; }

  [[nodiscard]] std::vector<CheckResult> check(const Context& context) override {
    std::vector<CheckResult> checks;
    checks.push_back(checked(context, "content is the snapshot's", [&] {
      SourceRepository at(site_, context, source_, {.lock = LockMode::kShared});
      at.repository().load_index(at.context());
      uint64_t files = 0;
      const std::string difference =
          compare_files(at.context(), at.repository(), snapshot_.snapshot.tree, root_, {}, files);
      if (!difference.empty()) {
        throw Error(ErrorCode::kDamaged, difference);
      }
      return counted(files, "file") + " compared";
    }));
    for (const std::string& assertion : source_.assertions) {
      checks.push_back(run_assertion(context, assertion, directory()));
    }
    return checks;
  }

  [[nodiscard]] KeptStore leave(const Context&) override {
    sandbox_.keep();
    return {.enter = {"cd " + plan::shell_quoted(directory())}, .outside = {}};
  }

  std::string break_it(const Context& context, const std::string& scenario) override {
    const std::vector<fs::path> files = regular_files(root_);
    if (files.empty() && scenario != "loss") {
      throw Error(ErrorCode::kUsage, "there is no file in the sandbox that could be broken");
    }
    if (scenario == "deletion") {
      const size_t count = (files.size() + 3) / 4;
      for (size_t i = 0; i < count; ++i) {
        fs::remove(files[i]);
      }
      return fmt::format("{} of {} {} deleted", count, counted(files.size(), "file"),
                         count == 1 ? "was" : "were");
    }
    if (scenario == "corruption") {
      const auto largest = std::max_element(
          files.begin(), files.end(),
          [](const auto& a, const auto& b) { return fs::file_size(a) < fs::file_size(b); });
      overwrite(context, *largest, kPage);
      return "a page of " + shown(*largest) + " was overwritten, its time left alone";
    }
    if (scenario == "ransomware") {
      for (const fs::path& file : files) {
        overwrite(context, file, UINT64_MAX);
        fs::rename(file, file.string() + ".locked");
      }
      return counted(files.size(), "file") + (files.size() == 1 ? " was" : " were") +
             " overwritten with noise and renamed";
    }
    if (scenario == "loss") {
      fs::remove_all(root_);
      return "the directory was removed";
    }
    throw Error(ErrorCode::kUsage, "files know no scenario \"" + printable(scenario) + "\"",
                "They know corruption, deletion, loss and ransomware.");
  }

 private:
  [[nodiscard]] std::string directory() const {
    const std::vector<std::string>& paths = snapshot_.snapshot.paths;
    return paths.size() == 1 && fs::is_directory(root_ + paths.front()) ? root_ + paths.front()
                                                                        : root_;
  }
  [[nodiscard]] std::string shown(const fs::path& file) const {
    return printable(file.string().substr(root_.size()));
  }

  const StoreSite& site_;
  const SourceSpec& source_;
  Sandbox sandbox_;
  const std::string root_;
  StoredSnapshot snapshot_;
  RestoreOutcome restored_;
};

}  // namespace

std::unique_ptr<SandboxedStore> open_files_sandbox(const StoreSite& site, const Context& context,
                                                   const SourceSpec& source,
                                                   const SandboxSpec& sandbox,
                                                   const RestoreOrder& order) {
  auto made = std::make_unique<FilesSandbox>(site, source, sandbox_parent(sandbox));
  static_cast<void>(made->recover(context, order));
  return made;
}

std::vector<std::string> source_paths(const StoreSite& site, const SourceSpec& source) {
  const fs::path folder = fs::path(site.application.file).parent_path();
  std::vector<std::string> paths;
  for (const std::string& path : source.settings.list("paths")) {
    std::string clean = fs::absolute(folder / path).lexically_normal().string();
    while (clean.size() > 1 && clean.ends_with('/')) {
      clean.pop_back();
    }
    paths.push_back(std::move(clean));
  }
  return paths;
}

WallTime captured_at(const StoredSnapshot& stored) {
  return stored.snapshot.time.wall();
}

std::vector<StoredSnapshot> files_snapshots(const StoreSite& site, const Context& context,
                                            const Repository& repository,
                                            const SourceSpec& source) {
  const std::string tag = source_tag(site.application, source);
  std::vector<std::string> paths = source_paths(site, source);
  std::sort(paths.begin(), paths.end());
  std::vector<UnreadableObject> unreadable;  // `check` and `snapshots` tell of them
  std::vector<StoredSnapshot> snapshots = repository.load_snapshots(context, &unreadable);
  for (const UnreadableObject& object : unreadable) {
    context.events.on(Warning{object.object.display() + " cannot be read: " + object.reason,
                              "`salvor check` says what is affected."});
  }
  std::erase_if(snapshots, [&](const StoredSnapshot& stored) {
    const Snapshot& snapshot = stored.snapshot;
    bool tagged = false;
    for (const std::string& have : snapshot.tags) {
      if (have == tag) {
        return false;
      }
      tagged = tagged || have.starts_with(kSourceTag);
    }
    std::vector<std::string> have = snapshot.paths;
    std::sort(have.begin(), have.end());
    return tagged || snapshot.hostname != current_host_name() || have != paths;
  });
  return snapshots;
}

}  // namespace salvor::cli
