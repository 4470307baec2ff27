// What the local storage leaves when the machine or the process dies between any two file system
// calls.
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "storage/local/local_storage.h"
#include "support/file_calls.h"
#include "support/storage_helpers.h"
#include "support/temp_directory.h"
#include "support/test_context.h"

namespace salvor::test {
namespace {

// Runs work on a local storage and asks, after every file system call, whether every state that a
// crash could leave keeps the promises given so far.
class CrashChecker {
 public:
  explicit CrashChecker(std::string root) : root_(std::move(root)) {
    calls.after = [this](const FileCall& call) {
      if (!watching) {
        return;
      }
      if (forgotten && forgotten(call)) {
        return;  // the call lied: it succeeded and did nothing
      }
      model_.on(call);
      check();
    };
  }

  // The content that must be found under its name, if anything is.
  void expect_whole(const ObjectName& object, std::set<std::string> contents) {
    whole_[path(object)] = std::move(contents);
  }
  void promise_present(const ObjectName& object) {
    absent_.erase(path(object));
    present_.insert(path(object));
    check();
  }
  void withdraw_promise(const ObjectName& object) { present_.erase(path(object)); }
  void promise_absent(const ObjectName& object) {
    absent_.insert(path(object));
    check();
  }

  HookedFileCalls calls;
  std::function<bool(const FileCall&)> forgotten;
  bool watching = false;  // the directories of a new repository are the durable beginning
  std::set<std::string> violations;
  size_t states = 0;

 private:
  [[nodiscard]] std::string path(const ObjectName& object) const {
    return root_ + "/" + local_path(object);
  }
  void check() {
    for (const FileSystemModel::State& state : model_.crash_states()) {
      ++states;
      for (const auto& [path, contents] : whole_) {
        const auto found = state.find(path);
        if (found != state.end() && !contents.contains(found->second.value_or(""))) {
          violations.insert("partial " + path);
        }
      }
      for (const std::string& path : present_) {
        if (!state.contains(path)) {
          violations.insert("lost " + path);
        }
      }
      for (const std::string& path : absent_) {
        if (state.contains(path)) {
          violations.insert("back again " + path);
        }
      }
    }
  }

  const std::string root_;
  FileSystemModel model_;
  std::map<std::string, std::set<std::string>> whole_;
  std::set<std::string> present_;
  std::set<std::string> absent_;
};

void put_checked(CrashChecker& checker, Storage& storage, TestContext& context,
                 const ObjectName& object, const std::string& content) {
  checker.expect_whole(object, {content});
  storage.put(*context, object, as_bytes(content));
  checker.promise_present(object);
}

// The life of a repository in small.
void run_everything(CrashChecker& checker, const std::string& directory) {
  TestContext context;
  const auto storage = open_local_storage(directory, checker.calls);
  storage->create(*context);
  checker.watching = true;
  checker.calls.max_write = 700;
  const ObjectName config{ObjectKind::kConfig, ""};
  const std::string old_config(1000, 'o');
  const std::string new_config(1500, 'n');
  put_checked(checker, *storage, context, config, old_config);
  std::vector<ObjectName> packs;
  for (int i = 0; i < 3; ++i) {
    const std::string content = std::to_string(i) + std::string(2000, 'p');
    packs.push_back(named_by_hash(ObjectKind::kPack, as_bytes(content)));
    put_checked(checker, *storage, context, packs.back(), content);
  }
  put_checked(checker, *storage, context, {ObjectKind::kSalvor, "a/b/c"}, "nested");
  put_checked(checker, *storage, context,
              named_by_hash(ObjectKind::kSnapshot, as_bytes("snapshot")), "snapshot");
  checker.expect_whole(config, {old_config, new_config});
  storage->replace_config(*context, as_bytes(new_config));
  checker.expect_whole(config, {new_config});
  checker.promise_present(config);
  checker.withdraw_promise(packs[0]);
  storage->remove(*context, packs[0]);
  checker.promise_absent(packs[0]);
}

bool is_file(const std::string& path) {
  return path.find("-tmp-") != std::string::npos;
}

TEST(LocalStorageCrash, EveryCrashOfTheMachineKeepsWhatWasPromised) {
  const TempDirectory directory(TempPlace::kMemory);
  CrashChecker checker((directory / "repository").string());
  run_everything(checker, (directory / "repository").string());
  EXPECT_THAT(checker.violations, testing::IsEmpty());
  EXPECT_GT(checker.states, 300U);
}

TEST(LocalStorageCrash, AlsoWithoutRenameNoReplace) {
  for (const bool links : {true, false}) {
    const TempDirectory directory(TempPlace::kMemory);
    CrashChecker checker((directory / "repository").string());
    checker.calls.before = [&](const FileCall& call) -> std::optional<int> {
      if (call.kind == FileCall::Kind::kRenameNew) {
        return EINVAL;
      }
      if (call.kind == FileCall::Kind::kLink && !links) {
        return EPERM;
      }
      return std::nullopt;
    };
    run_everything(checker, (directory / "repository").string());
    EXPECT_THAT(checker.violations, testing::IsEmpty()) << links;
  }
}

// The checker itself must notice when a step is missing.
TEST(LocalStorageCrash, TheModelNoticesAMissingSyncOfTheFile) {
  const TempDirectory directory(TempPlace::kMemory);
  CrashChecker checker((directory / "repository").string());
  checker.forgotten = [](const FileCall& call) {
    return call.kind == FileCall::Kind::kSync && is_file(call.path);
  };
  run_everything(checker, (directory / "repository").string());
  EXPECT_THAT(checker.violations, testing::Contains(testing::HasSubstr("partial")));
}

TEST(LocalStorageCrash, TheModelNoticesAMissingSyncOfTheDirectory) {
  const TempDirectory directory(TempPlace::kMemory);
  CrashChecker checker((directory / "repository").string());
  checker.forgotten = [](const FileCall& call) {
    return call.kind == FileCall::Kind::kSync && call.path.ends_with("/snapshots");
  };
  run_everything(checker, (directory / "repository").string());
  EXPECT_THAT(checker.violations, testing::Contains(testing::HasSubstr("lost")));
}

TEST(LocalStorageCrash, TheModelNoticesADirectoryThatIsNotSyncedInItsParent) {
  const TempDirectory directory(TempPlace::kMemory);
  CrashChecker checker((directory / "repository").string());
  checker.forgotten = [](const FileCall& call) {
    return call.kind == FileCall::Kind::kSync && call.path.ends_with("/salvor/a");
  };
  run_everything(checker, (directory / "repository").string());
  EXPECT_THAT(checker.violations, testing::Contains(testing::HasSubstr("lost")));
}

TEST(LocalStorageCrash, AWriterThatFindsTheNameTakenMakesItDurableToo) {
  const TempDirectory directory(TempPlace::kMemory);
  const std::string root = (directory / "repository").string();
  CrashChecker checker(root);
  TestContext context;
  const auto storage = open_local_storage(root, checker.calls);
  storage->create(*context);
  checker.watching = true;
  const ObjectName object = named_by_hash(ObjectKind::kIndex, as_bytes("content"));
  // The first writer dies (here: fails) between the rename and the sync of the directory.
  checker.calls.before = [](const FileCall& call) -> std::optional<int> {
    return call.kind == FileCall::Kind::kSync && call.path.ends_with("/index") ? std::optional(EIO)
                                                                               : std::nullopt;
  };
  EXPECT_EQ(code_of([&] { storage->put(*context, object, as_bytes("content")); }),
            ErrorCode::kFailed);
  checker.calls.before = nullptr;
  put_checked(checker, *storage, context, object, "content");
  EXPECT_THAT(checker.violations, testing::IsEmpty());
}

// kill -9 between any two calls: the next run finds nothing or everything, and can go on.
TEST(LocalStorageCrash, AProcessKilledAtAnyCallLeavesAUsableRepository) {
  const TempDirectory directory(TempPlace::kMemory);
  const Buffer content = pattern(5000, 3);
  const ObjectName object = named_by_hash(ObjectKind::kPack, content.view());
  bool finished = false;
  for (int limit = 0; !finished; ++limit) {
    ASSERT_LT(limit, 1000);
    const std::string root = (directory / std::to_string(limit)).string();
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      HookedFileCalls calls;
      int left = limit;
      calls.max_write = 1000;
      calls.before = [&](const FileCall&) -> std::optional<int> {
        if (left-- == 0) {
          ::_exit(9);
        }
        return std::nullopt;
      };
      TestContext context;
      const auto storage = open_local_storage(root, calls);
      // Only the directory: 260 more calls would make this slow and teach nothing.
      std::filesystem::create_directory(root);
      storage->put(*context, object, content.view());
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    finished = WEXITSTATUS(status) == 0;
    TestContext context;
    const auto storage = open_local_storage(root);
    const auto found = storage->list_all(*context, ObjectKind::kPack);
    ASSERT_LE(found.size(), 1U);
    if (finished) {
      ASSERT_EQ(found.size(), 1U);
      EXPECT_GT(limit, 10);
    }
    storage->put(*context, object, content.view());
    EXPECT_TRUE(std::ranges::equal(storage->get(*context, object).view(), content.view()));
  }
}

}  // namespace
}  // namespace salvor::test
