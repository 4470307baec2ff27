// Writes nodes as a tar or zip archive, as a stream: for `dump --archive`.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "base/bytes.h"
#include "model/node.h"

namespace salvor {

enum class ArchiveFormat : uint8_t {
  kTar,  // POSIX pax: times to the nanosecond, extended attributes, hard links, names of any bytes
  kZip,  // deflated; times to the second, permissions and symbolic links only
};

// Not thread-safe. Memory grows by about 100 bytes for each file that has several links (tar).
class ArchiveWriter {
 public:
  // Receives the archive's bytes in order. What it throws comes out of the call that led to it.
  using Sink = std::function<void(ByteView)>;
  // The next bytes of a file's content, valid until the next call; empty at the end.
  using Content = std::function<ByteView()>;

  ArchiveWriter(ArchiveFormat format, Sink sink);
  // Without `finish`, the archive stays incomplete: nothing more is given to the sink.
  ~ArchiveWriter();
  ArchiveWriter(ArchiveWriter&&) noexcept;
  ArchiveWriter& operator=(ArchiveWriter&&) noexcept;

  // Adds one node under `path`: raw bytes, parts separated by '/', leading slashes are dropped (the
  // path is the caller's to judge; node.name is not used). `content` is called for regular files
  // only, and not for further links to a file that is in the archive already. False when the format
  // cannot hold such a node (sockets, unknown types; in zip devices and fifos too): nothing was
  // written. Throws Error{kDamaged} when the content is not of node.size bytes, Error{kFailed} when
  // the archive cannot be written. After an exception the archive is lost: only the destructor may
  // follow.
  [[nodiscard]] bool add(const Node& node, std::string_view path, const Content& content);

  // Writes the end of the archive. To be called once.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace salvor
