// The names in one directory, sorted, in little memory (a directory may hold ten million).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"

namespace salvor {

class Listing {
 public:
  struct Entry {
    uint64_t inode = 0;
    uint64_t offset : 40;  // of the name in `names_`, which is followed by a NUL
    uint64_t length : 16;
    uint64_t type : 8;  // DT_REG, DT_DIR ..., DT_UNKNOWN when the file system does not tell
  };

  // Reads the open directory `fd` to its end and sorts by raw name bytes; "." and ".." and repeated
  // names are left out. On a read error what was read so far is kept and the errno returned, else
  // 0.
  [[nodiscard]] int read(int fd);

  [[nodiscard]] size_t size() const { return entries_.size(); }
  [[nodiscard]] const Entry& entry(size_t i) const { return entries_[i]; }
  [[nodiscard]] std::string_view name(size_t i) const {
    return as_text(names_.view(entries_[i].offset, entries_[i].length));
  }
  [[nodiscard]] const char* c_name(size_t i) const {
    return reinterpret_cast<const char*>(names_.data()) + entries_[i].offset;
  }
  // Sets entry(i).type to kTaken: somebody else sees to it.
  static constexpr uint8_t kTaken = 255;
  void take(size_t i) { entries_[i].type = kTaken; }
  // Binary search.
  [[nodiscard]] bool contains(std::string_view name) const;

 private:
  void sort();

  Buffer names_;
  std::vector<Entry> entries_;
};

}  // namespace salvor
