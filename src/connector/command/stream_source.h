// One stream as a backup: standard input, or the output of a command (P16).
//
// The snapshot holds one regular file, mode 0644, with the snapshot's time; the directories above
// it are made up with mode 0755 (facts: restic format, 6.5). A stream that fails, and one without a
// single byte, fail the source as a whole in `finish`: half a database dump must never look like a
// backup.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "connector/source.h"
#include "model/timestamp.h"

namespace salvor {

struct StreamOptions {
  std::string file_name = "stdin";  // may contain directories
  Timestamp time;                   // the snapshot's
  uint32_t uid = 0;
  uint32_t gid = 0;
};

class StdinSource final : public Source {
 public:
  // Reads descriptor `fd`, which stays open and the caller's. Throws Error{kUsage} when the name is
  // not one.
  explicit StdinSource(StreamOptions options, int fd = 0);
  ~StdinSource() override;
  [[nodiscard]] std::vector<std::string> paths() const override;
  void stream_into(const Context& context, TreeSink& sink) override;
  void finish(const Context& context) override;

 private:
  struct State;
  const StreamOptions options_;
  std::shared_ptr<State> state_;
};

class CommandSource final : public Source {
 public:
  // Starts the program when it is first read from; its stderr is ours. `finish` throws
  // Error{kFailed} when it could not be started, ended with a status other than 0 or by a signal.
  CommandSource(StreamOptions options, std::vector<std::string> arguments);
  ~CommandSource() override;
  [[nodiscard]] std::vector<std::string> paths() const override;
  void stream_into(const Context& context, TreeSink& sink) override;
  void finish(const Context& context) override;

 private:
  struct State;
  const StreamOptions options_;
  std::shared_ptr<State> state_;
};

}  // namespace salvor
