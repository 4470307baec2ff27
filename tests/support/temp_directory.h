// A directory that goes away with the test.
#pragma once

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

namespace salvor::test {

// kDisk: $TMPDIR or /tmp. kMemory: /dev/shm where there is one, for tests that put thousands of
// objects and would mostly wait for fsync (no user xattrs there before Linux 6.6).
enum class TempPlace { kDisk, kMemory };

class TempDirectory {
 public:
  explicit TempDirectory(TempPlace place = TempPlace::kDisk) {
    const std::filesystem::path memory = "/dev/shm";
    const bool in_memory = place == TempPlace::kMemory && std::filesystem::is_directory(memory);
    std::string name =
        ((in_memory ? memory : std::filesystem::temp_directory_path()) / "salvor-test-XXXXXX")
            .string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw std::filesystem::filesystem_error("cannot make a directory", name,
                                              {errno, std::generic_category()});
    }
    path_ = name;
  }
  ~TempDirectory() {
    // Restored trees may hold directories that their owner cannot write into.
    std::error_code ignored;
    for (auto it = std::filesystem::recursive_directory_iterator(
             path_, std::filesystem::directory_options::skip_permission_denied, ignored);
         it != std::filesystem::recursive_directory_iterator(); it.increment(ignored)) {
      if (it->is_directory(ignored) && !it->is_symlink(ignored)) {
        std::filesystem::permissions(it->path(), std::filesystem::perms::owner_all,
                                     std::filesystem::perm_options::add, ignored);
      }
    }
    std::filesystem::remove_all(path_, ignored);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const {
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace salvor::test
