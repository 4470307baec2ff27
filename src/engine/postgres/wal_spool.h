// Where streamed WAL waits on a local disk until it is in the repository: fsynced, so that the
// server may be told that it is safe, whatever the storage does.
//
//   <folder>/000000010000000000000005       whole, to be stored
//   <folder>/000000010000000000000006.part  the one that is being received
//   <folder>/spare                          one that has been stored: the next is written over it
#pragma once

#include <atomic>
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
  [[nodiscard]] bool wants_more() override { return bytes() < limit_bytes_; }  // every message
  // The timeline has ended here: what there is of the last segment becomes <name>.partial, to be
  // stored.
  void end_timeline();

  // Whole files that wait, oldest first.
  [[nodiscard]] std::vector<std::string> whole() const;
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }
  // The content of one of them, into `content`, whose memory is used again.
  void read(const std::string& name, Buffer& content) const;
  void remove(const std::string& name);
  // How many they are, and their length together; without a look at the disk.
  [[nodiscard]] size_t waiting() const { return waiting_; }
  [[nodiscard]] uint64_t bytes() const { return waiting_ * uint64_t{size_.bytes}; }
  // How much of the unfinished segment is durable here.
  [[nodiscard]] uint64_t durable_bytes() const;
  [[nodiscard]] uint64_t segment_bytes() const { return size_.bytes; }
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
  // What is in `segment_` gets its final name and waits from now on.
  void hand_over(const std::string& name);
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
  std::atomic<size_t> waiting_ = 0;  // changed under the mutex
};

}  // namespace salvor
