// One long file kept in pieces ("volumes") of a limited size, with its SHA-256 sums beside it.
//
//   backup.tar                 or  backup.tar.001, backup.tar.002, ...
//   backup.tar.sha256              backup.tar.sha256         what `sha256sum -c` checks
//
// The pieces put together (`cat backup.tar.*[0-9]`) are the file.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/context.h"
#include "base/fd.h"

namespace salvor {

struct VolumeWriterOptions {
  std::string path;           // the whole file's name
  uint64_t volume_bytes = 0;  // 0: one file of any size
  bool overwrite = false;
};

// Nothing has its final name until `finish`: what an interrupted run leaves ends in ".partial", and
// the next run writes over it. Not thread-safe. Errors are Error::from_errno with the file named.
class VolumeWriter {
 public:
  // Throws Error{kFailed} when the file, a volume or the sums are there already, unless they may be
  // overwritten; Error{kUsage} for names that a file of sums cannot hold.
  explicit VolumeWriter(VolumeWriterOptions options);
  // Removes what has not been finished.
  ~VolumeWriter();
  VolumeWriter(const VolumeWriter&) = delete;
  VolumeWriter& operator=(const VolumeWriter&) = delete;

  void write(ByteView bytes);

  struct Volume {
    std::string path;
    uint64_t size_bytes = 0;
    std::string sha256;
  };
  // Makes everything durable, gives the final names, and writes the sums last. To be called once.
  std::vector<Volume> finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The pieces as one file, for reading. Thread-safe.
class VolumeReader {
 public:
  // `path`: the file, its first volume, or the name that the volumes have in common. The sums
  // beside it, where there are any, say how many volumes there must be: throws Error{kNotFound}
  // that names the missing one.
  explicit VolumeReader(const std::string& path);
  // A file without a name (of its own).
  VolumeReader(UniqueFd file, std::string display_name);
  ~VolumeReader();
  VolumeReader(const VolumeReader&) = delete;
  VolumeReader& operator=(const VolumeReader&) = delete;

  [[nodiscard]] uint64_t size_bytes() const;
  // Exactly out.size() bytes, which must lie within.
  void read(uint64_t offset, MutableBytes out) const;

  [[nodiscard]] bool has_sums() const;
  // With sums: reads everything and compares. Throws Error{kDamaged} that names every volume that
  // is not what the sums say; Error{kFailed} that names those of which they say nothing.
  void verify(const Context& context) const;
  // What to say of a file that ends too early: which volume would come next.
  [[nodiscard]] std::string next_volume() const;
  [[nodiscard]] const std::string& display_name() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor
