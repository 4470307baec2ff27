// Where streamed WAL waits on a local disk until it is in the repository: fsynced, so that the
// server may be told that it is safe, whatever the storage does.
//
//   <folder>/000000010000000000000005       whole, to be stored
//   <folder>/00000002.history               likewise
//   <folder>/000000010000000000000006.part  the one that is being received
//   <folder>/spare                          one that has been stored: the next is written over it
//   <folder>/lock                           whoever has the folder open holds it
//
// The length of what is received is written nowhere: that would be another fsync a second. What a
// killed process leaves is told from what a spare held before by the pages' own addresses; of the
// last page, what is not received yet is zeros, which is what recovery takes for its end. After a
// power cut up to half a page of what was never called durable may be wrong: such a length is only
// an estimate until the server has sent it again.
#pragma once

#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "connector/postgres/wal_stream.h"

namespace salvor {

struct WalPlace {
  postgres::Timeline timeline;
  postgres::Lsn lsn;
};

// What to do about a server whose log is not what it was.
extern const char* const kOtherHistoryHint;

// The receiving side is one thread; what tells about the files that are here may be
// asked by another.
class WalSpool final : public postgres::WalReceiver {
 public:
  // Makes the folder; what the newest .part holds counts as its unfinished segment. `limit_bytes`:
  // when this much waits no more is received (the server then keeps it). Throws Error{kLocked} when
  // another process, or another WalSpool, has it.
  WalSpool(std::string folder, postgres::SegmentSize size, uint64_t limit_bytes);

  // The size of the segments that are in a spool's folder; the usual one where none is.
  [[nodiscard]] static postgres::SegmentSize segment_size(const std::string& folder);

  // Begins to receive `timeline` at `start`, the begin of a segment. What is there of that segment
  // is received again.
  void begin(postgres::Timeline timeline, postgres::Lsn start);
  // Where to begin when the connection has broken: at the segment that was being written. Nothing
  // before the first `begin`.
  [[nodiscard]] std::optional<WalPlace> resume() const;
  // Up to where the log has surely come, by the unfinished segment that is here.
  [[nodiscard]] std::optional<WalPlace> reached() const;
  // Keeps the bytes in memory until there are many, a segment is whole or `sync` is called. Each of
  // these throws Error{kDamaged} when bytes that were durable here come again and are others. After
  // an error the stream begins again (`resume`).
  void wal(postgres::Lsn at, ByteView bytes) override;
  [[nodiscard]] postgres::Lsn sync() override;
  [[nodiscard]] bool wants_more() override { return bytes() < limit_bytes_; }  // every message
  // Takes in a history file, to be stored. Durable on return.
  void keep_history(postgres::Timeline timeline, std::string_view text);
  // The timeline has ended here: what there is of the last segment becomes <name>.partial, to be
  // stored.
  void end_timeline();

  // Whole files that wait, oldest first.
  [[nodiscard]] std::vector<std::string> whole() const;
  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }
  [[nodiscard]] std::string part_path(const std::string& segment) const;
  // The content of one of them, into `content`, whose memory is used again.
  void read(const std::string& name, Buffer& content) const;
  void remove(const std::string& name);
  // How many they are, and the segments' length together; without a look at the disk.
  [[nodiscard]] size_t waiting() const { return waiting_; }
  [[nodiscard]] uint64_t bytes() const { return segments_ * uint64_t{size_.bytes}; }
  // How much of the unfinished segment is durable here.
  [[nodiscard]] uint64_t durable_bytes() const;
  // How much of it is here at all.
  [[nodiscard]] uint64_t unfinished_bytes() const {
    return std::max(durable_bytes(), received_ % size_.bytes);
  }
  [[nodiscard]] uint64_t segment_bytes() const { return size_.bytes; }
  // What of the unfinished segment is durable here and not known: its name, and its bytes from
  // `begin` on.
  struct Tail {
    std::string segment;
    uint64_t begin = 0;
    Buffer bytes;
  };
  // `memory` is used for the bytes: fresh memory costs as much as reading.
  [[nodiscard]] std::optional<Tail> tail(const std::string& known_segment, uint64_t known_bytes,
                                         Buffer memory = {}) const;

 private:
  void take_in_part();
  void write_gathered();
  void write(ByteView bytes);
  void open_part();
  void cut_to_durable();
  void compare(uint64_t offset, ByteView bytes) const;
  void clear_behind(uint64_t end) const;
  void count();
  void forget_durable();
  void finish_segment();
  // What is in `segment_` gets its final name and waits from now on.
  void hand_over(const std::string& name);
  void sync_folder() const;

  const std::string folder_;
  const postgres::SegmentSize size_;
  const uint64_t limit_bytes_;
  UniqueFd lock_;
  bool begun_ = false;
  postgres::Timeline timeline_;
  postgres::Lsn written_;               // up to here
  Buffer gathered_;                     // what follows, not yet written
  std::atomic<uint64_t> received_ = 0;  // end of that
  UniqueFd file_;
  bool reused_ = false;       // it was a spare: another segment lies behind what was written
  std::string segment_;       // that file_ is; "" between segments
  mutable std::mutex mutex_;  // guards what follows
  std::string durable_segment_;
  uint64_t durable_bytes_ = 0;
  uint64_t estimated_bytes_ = 0;      // so much of them was found here, by its looks
  std::atomic<size_t> waiting_ = 0;   // changed under the mutex
  std::atomic<size_t> segments_ = 0;  // the same without histories
};

}  // namespace salvor
