// Where streamed WAL waits on a local disk until it is in the repository: fsynced, so that the
// server may be told that it is safe, whatever the storage does.
//
//   <folder>/000000010000000000000005       whole, to be stored
//   <folder>/000000010000000000000006.part  the one that is being received
#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "connector/postgres/wal_stream.h"

namespace salvor {

// The receiving side is one thread; `whole`, `tail` and `bytes` may be called from another.
class WalSpool final : public postgres::WalReceiver {
 public:
  // Makes the folder. `limit_bytes`: when this much waits no more is received (the server then
  // keeps it).
  WalSpool(std::string folder, postgres::SegmentSize size, uint64_t limit_bytes);

  // Begins to receive `timeline` at `start`, the begin of a segment. What is there of that segment
  // is received again.
  void begin(postgres::Timeline timeline, postgres::Lsn start);
  void wal(postgres::Lsn at, ByteView bytes) override;
  [[nodiscard]] postgres::Lsn sync() override;
  [[nodiscard]] bool wants_more() override { return bytes() < limit_bytes_; }
  // The timeline has ended here: what there is of the last segment becomes <name>.partial, to be
  // stored.
  void end_timeline();

  // Whole files that wait, oldest first.
  [[nodiscard]] std::vector<std::string> whole() const;
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }
  void remove(const std::string& name) const;
  [[nodiscard]] uint64_t bytes() const;
  // What of the unfinished segment is durable here: its name, and its bytes from `offset` on.
  struct Tail {
    std::string segment;
    uint64_t begin = 0;
    Buffer bytes;
  };
  [[nodiscard]] std::optional<Tail> tail(const std::string& known_segment,
                                         uint64_t known_bytes) const;

 private:
  void finish_segment();
  void sync_folder() const;

  const std::string folder_;
  const postgres::SegmentSize size_;
  const uint64_t limit_bytes_;
  postgres::Timeline timeline_;
  postgres::Lsn received_;  // end of what was written
  UniqueFd file_;
  std::string segment_;       // that file_ is; "" between segments
  mutable std::mutex mutex_;  // guards what follows
  std::string durable_segment_;
  uint64_t durable_bytes_ = 0;
};

}  // namespace salvor
