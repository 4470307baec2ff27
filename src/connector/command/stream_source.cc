#include "connector/command/stream_source.h"

#include <functional>
#include <mutex>
#include <optional>

#include <poll.h>

#include "base/fd.h"
#include "model/text_file.h"
#include "net/subprocess.h"

namespace salvor {
namespace {

// What became of the stream; written by the reader, read by `finish`.
class Outcome {
 public:
  void failed(const Error& error) {
    const std::scoped_lock lock(mutex_);
    if (!error_) {
      error_ = error;
    }
  }
  void ended(uint64_t bytes) {
    const std::scoped_lock lock(mutex_);
    ended_ = true;
    bytes_ = bytes;
  }
  // Throws unless the stream was read to a good end.
  void check(const std::string& what) const {
    const std::scoped_lock lock(mutex_);
    if (error_) {
      throw *error_;
    }
    if (!ended_) {
      throw Error(ErrorCode::kFailed, what + " was not read to its end");
    }
    if (bytes_ == 0) {
      throw Error(ErrorCode::kFailed, what + " gave no data",
                  "No snapshot was made, because an empty one is rarely wanted.");
    }
  }

 private:
  mutable std::mutex mutex_;
  std::optional<Error> error_;
  bool ended_ = false;
  uint64_t bytes_ = 0;
};

std::string snapshot_path(const StreamOptions& options) {
  std::string path = clean_path("/" + options.file_name);
  if (path == "/") {
    throw Error(ErrorCode::kUsage, "\"" + options.file_name + "\" is not a file name",
                "Give --stdin-filename a name.");
  }
  return path;
}

Node make_node(const StreamOptions& options, std::string name, NodeType type, uint32_t mode) {
  Node node;
  node.name = std::move(name);
  node.type = type;
  node.mode = mode;
  node.mtime = node.atime = node.ctime = options.time;
  node.uid = options.uid;
  node.gid = options.gid;
  return node;
}

// Pushes the directories and the file.
void push_stream(const StreamOptions& options, TreeSink& sink, std::shared_ptr<FileOpener> opener) {
  std::vector<TreeSink::Directory*> open{sink.root()};
  const std::string path = snapshot_path(options);
  size_t at = 1;
  for (size_t slash = path.find('/', at); slash != std::string::npos; slash = path.find('/', at)) {
    open.push_back(sink.open_directory(
        open.back(),
        make_node(options, path.substr(at, slash - at), NodeType::kDir, go_mode::kDir | 0755U)));
    at = slash + 1;
  }
  Node file = make_node(options, path.substr(at), NodeType::kFile, 0644);
  // Unknown, but to be read piece by piece rather than at once. The engine counts what it reads.
  constexpr uint64_t kPlenty = uint64_t{1} << 40;
  file.size = kPlenty;
  sink.add_file(open.back(), std::move(file), std::move(opener));
  for (size_t i = open.size(); i-- > 0;) {
    sink.close_directory(open[i]);
  }
}

// Counts and watches another reader.
class StreamReader final : public ByteReader {
 public:
  using Read = std::function<size_t(MutableBytes)>;
  StreamReader(Read read, std::shared_ptr<Outcome> outcome)
      : read_(std::move(read)), outcome_(std::move(outcome)) {}

  size_t read(MutableBytes out) override {
    if (ended_) {
      return 0;
    }
    try {
      const size_t got = read_(out);
      bytes_ += got;
      if (got == 0) {
        ended_ = true;
        outcome_->ended(bytes_);
      }
      return got;
    } catch (const Error& error) {
      outcome_->failed(error);
      throw;
    }
  }
  void refresh(Node& node) override { (void)node; }
  bool changed_since_refresh() override { return false; }

 private:
  const Read read_;
  const std::shared_ptr<Outcome> outcome_;
  uint64_t bytes_ = 0;
  bool ended_ = false;
};

class StreamOpener final : public FileOpener {
 public:
  using Open = std::function<std::unique_ptr<ByteReader>()>;
  StreamOpener(std::string path, Open open) : path_(std::move(path)), open_(std::move(open)) {}
  std::unique_ptr<ByteReader> open(const Node& node) override {
    (void)node;
    const std::scoped_lock lock(mutex_);
    if (opened_) {
      throw Error(ErrorCode::kFailed, "a stream can be read only once");
    }
    opened_ = true;
    return open_();
  }
  std::string path_of(const Node& node) const override {
    (void)node;
    return path_;
  }

 private:
  const std::string path_;
  const Open open_;
  std::mutex mutex_;
  bool opened_ = false;
};

}  // namespace

// ---- standard input
// ------------------------------------------------------------------------------

struct StdinSource::State {
  int fd = 0;
  std::shared_ptr<Outcome> outcome = std::make_shared<Outcome>();
};

StdinSource::StdinSource(StreamOptions options, int fd)
    : options_(std::move(options)), state_(std::make_shared<State>()) {
  state_->fd = fd;
  static_cast<void>(snapshot_path(options_));
}

StdinSource::~StdinSource() = default;

std::vector<std::string> StdinSource::paths() const {
  return {snapshot_path(options_)};
}

void StdinSource::stream_into(const Context& context, TreeSink& sink) {
  const auto read = [state = state_, stop = context.stop](MutableBytes out) -> size_t {
    // Waits in steps, so that an interrupted run does not hang on a silent pipe.
    constexpr int kStepMilliseconds = 200;
    pollfd wait{.fd = state->fd, .events = POLLIN, .revents = 0};
    while (poll(&wait, 1, kStepMilliseconds) == 0) {
      if (stop.stop_requested()) {
        throw cancelled();
      }
    }
    return read_some(state->fd, out, "standard input");
  };
  push_stream(options_, sink,
              std::make_shared<StreamOpener>(snapshot_path(options_), [state = state_, read] {
                return std::make_unique<StreamReader>(read, state->outcome);
              }));
}

void StdinSource::finish(const Context& context) {
  (void)context;
  state_->outcome->check("standard input");
}

// ---- a command
// -----------------------------------------------------------------------------------

struct CommandSource::State {
  std::vector<std::string> arguments;
  std::shared_ptr<Outcome> outcome = std::make_shared<Outcome>();
};

CommandSource::CommandSource(StreamOptions options, std::vector<std::string> arguments)
    : options_(std::move(options)), state_(std::make_shared<State>()) {
  static_cast<void>(snapshot_path(options_));
  if (arguments.empty()) {
    throw Error(ErrorCode::kUsage, "no command was given",
                "Write the command after the options: --stdin-from-command -- pg_dump mydb");
  }
  state_->arguments = std::move(arguments);
}

CommandSource::~CommandSource() = default;

std::vector<std::string> CommandSource::paths() const {
  return {snapshot_path(options_)};
}

void CommandSource::stream_into(const Context& context, TreeSink& sink) {
  const auto open = [state = state_, stop = context.stop]() -> std::unique_ptr<ByteReader> {
    std::shared_ptr<Subprocess> program;
    try {
      program = std::make_shared<Subprocess>(SubprocessOptions{.arguments = state->arguments});
    } catch (const Error& error) {
      state->outcome->failed(error);
      throw;
    }
    // Ending the program ends the stream, so that a reader waiting for output wakes up.
    auto on_stop = std::make_shared<std::stop_callback<std::function<void()>>>(
        stop, [program] { program->terminate(); });
    const auto read = [program, on_stop, stop](MutableBytes out) -> size_t {
      const size_t got = program->read(out);
      if (got > 0) {
        return got;
      }
      const ExitState ended = program->wait();
      if (stop.stop_requested()) {
        throw cancelled();
      }
      if (!ended.success()) {
        throw Error(ErrorCode::kFailed, "command " + program->name() + " failed: " + ended.text(),
                    "No snapshot was made. The command's own messages stand above.");
      }
      return 0;
    };
    return std::make_unique<StreamReader>(read, state->outcome);
  };
  push_stream(options_, sink, std::make_shared<StreamOpener>(snapshot_path(options_), open));
}

void CommandSource::finish(const Context& context) {
  (void)context;
  state_->outcome->check("command " + state_->arguments.front());
}

}  // namespace salvor
