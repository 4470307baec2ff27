// A file of a live data directory: read once, to the length that it had when it was opened, pages
// and checksum looked at on the way.
//
// The server writes while we read. A page whose checksum is wrong may have been caught in the
// middle of a write: it is read again until it is right or stays as it is. A file that was cut off
// meanwhile is filled up with zeros, as the server does it: replay of the log cuts it, too.
#pragma once

#include <memory>
#include <string>

#include "base/fd.h"
#include "connector/postgres/backup_results.h"
#include "connector/source.h"

namespace salvor::postgres {

struct CheckedFileOptions {
  std::string path;          // in the data directory; `results` must expect it
  uint64_t size = 0;         // bytes to read
  bool check_pages = false;  // if it is a relation's
  Lsn start;                 // of the backup
};

// May be opened once. Size, checksum and damage go to `results`, and so does whatever keeps the
// file from being read to its end.
class CheckedFile final : public FileOpener {
 public:
  CheckedFile(UniqueFd file, CheckedFileOptions options, std::shared_ptr<BackupResults> results);
  ~CheckedFile() override;
  CheckedFile(const CheckedFile&) = delete;
  CheckedFile& operator=(const CheckedFile&) = delete;

  std::unique_ptr<ByteReader> open(const Node& node) override;
  [[nodiscard]] std::string path_of(const Node& node) const override;

 private:
  UniqueFd file_;
  const CheckedFileOptions options_;
  const std::shared_ptr<BackupResults> results_;
};

}  // namespace salvor::postgres
