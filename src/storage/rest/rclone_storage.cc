#include "storage/rest/rclone_storage.h"

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include <poll.h>
#include <unistd.h>

#include "base/format.h"
#include "base/secret.h"
#include "net/split_command.h"
#include "net/subprocess.h"
#include "storage/local/local_storage.h"
#include "storage/rest/rest_storage.h"

namespace salvor {
namespace {

constexpr std::chrono::seconds kPatience{60};  // some remotes log in first
constexpr size_t kWordsKept = 4096;

// rclone has no way to notice that nobody needs it any more: this shell waits for the end of its
// input, which comes when this process ends, however it does.
constexpr const char* kGuard =
    "\"$@\" </dev/null & child=$!; exec 2>/dev/null; trap 'kill $child; exit' TERM; "
    "read -r line; kill $child; wait $child";

// `rclone serve restic` as long as it lives.
class RcloneServer {
 public:
  RcloneServer(const Context& context, const std::vector<std::string>& arguments) {
    std::array<std::byte, 24> secret{};
    SystemRandom().fill(secret);  // never from a seeded source
    password_ = Secret(to_hex(secret));
    std::vector<std::string> guarded{"/bin/sh", "-c", kGuard, "rclone"};
    guarded.insert(guarded.end(), arguments.begin(), arguments.end());
    program_ = std::make_unique<Subprocess>(SubprocessOptions{
        .arguments = guarded,
        .pipe_stdin = true,
        .pipe_stdout = true,  // it says nothing there; not ours to mix with
        .pipe_stderr = true,
        .own_group = true,
        // What it says must be readable, and how it serves is not the user's to configure.
        .environment = {"RCLONE_USER=salvor", "RCLONE_PASS=" + std::string(password_.reveal()),
                        "RCLONE_ASK_PASSWORD=false", "RCLONE_LOG_LEVEL=NOTICE",
                        "RCLONE_LOG_FILE=", "RCLONE_USE_JSON_LOG=false", "RCLONE_SYSLOG=false",
                        "RCLONE_HTPASSWD=", "RCLONE_BASEURL=", "RCLONE_CERT=", "RCLONE_KEY="}});
    await_address(context);
    drain_ = std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        if (!read_words(std::chrono::milliseconds(200))) {
          ended_ = true;
          return;
        }
      }
    });
    refuse_open_server(context);
  }
  ~RcloneServer() {
    drain_.request_stop();
    drain_ = {};
  }
  RcloneServer(const RcloneServer&) = delete;
  RcloneServer& operator=(const RcloneServer&) = delete;

  // With the credentials that only it and we know.
  [[nodiscard]] std::string url() const {
    std::string url = address_;
    return url.insert(std::string_view("http://").size(),
                      "salvor:" + std::string(password_.reveal()) + "@");
  }
  [[nodiscard]] bool ended() const { return ended_; }
  // The last line it said.
  [[nodiscard]] std::string last_words() const {
    const std::scoped_lock lock(mutex_);
    std::string_view said = words_;
    while (!said.empty() && (said.back() == '\n' || said.back() == ' ')) {
      said.remove_suffix(1);
    }
    return printable(said.substr(said.rfind('\n') + 1));
  }

 private:
  // False at the end of its words.
  bool read_words(std::chrono::milliseconds at_most) {
    pollfd end{.fd = program_->stderr_fd(), .events = POLLIN, .revents = 0};
    if (::poll(&end, 1, static_cast<int>(at_most.count())) <= 0) {
      return true;
    }
    std::array<char, 1024> chunk{};
    const ssize_t got = ::read(end.fd, chunk.data(), chunk.size());
    if (got <= 0) {
      return false;
    }
    const std::scoped_lock lock(mutex_);
    words_.append(chunk.data(), static_cast<size_t>(got));
    if (words_.size() > kWordsKept) {
      words_.erase(0, words_.size() - kWordsKept);
    }
    return true;
  }

  void await_address(const Context& context) {
    constexpr std::string_view kStart = "http://127.0.0.1:";
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < end) {
      context.check_stopped();
      const bool more = read_words(std::chrono::milliseconds(100));
      const size_t at = words_.find(kStart);
      const size_t slash = at == std::string::npos ? at : words_.find('/', at + kStart.size());
      if (slash != std::string::npos) {
        address_ = words_.substr(at, slash + 1 - at);
        return;
      }
      if (!more) {
        break;
      }
    }
    throw Error(ErrorCode::kFailed, "rclone does not serve: " + last_words(),
                "Try `rclone lsd REMOTE:` by hand. A configuration with a password needs "
                "RCLONE_CONFIG_PASS.");
  }

  // A version that does not take the password from the environment would serve everybody here.
  void refuse_open_server(const Context& context) {
    HttpClient client({.proxy = ""});
    if (client.request(context, {.url = address_ + "keys/"}).status != 401) {
      throw Error(ErrorCode::kFailed, "rclone serves without asking for the password",
                  "It would be open to every user of this machine. Use another version of rclone.");
    }
  }

  std::unique_ptr<Subprocess> program_;
  mutable std::mutex mutex_;
  std::string words_;  // under mutex_
  std::string address_;
  Secret password_;
  std::atomic<bool> ended_ = false;
  std::jthread drain_;
};

class RcloneStorage final : public Storage {
 public:
  RcloneStorage(std::vector<std::string> arguments, std::string remote, unsigned connections,
                StorageOptions options)
      : arguments_(std::move(arguments)),
        remote_(std::move(remote)),
        connections_(connections),
        options_(std::move(options)),
        config_memory_(new_rest_config_memory(options_)) {}

  using Storage::put;
  void create(const Context& context) override { use(context)->create(context); }
  void put(const Context& context, const ObjectName& object,
           std::span<const ByteView> parts) override {
    check_call(context, object);
    const auto storage = use(context);
    const OneAtATime turn(*this, local_path(object));
    if (const auto size = settled_size(context, *storage, object, total_size(parts))) {
      check_existing(*storage, context, object, *size, parts);
      return;
    }
    storage->put(context, object, parts);
  }
  void replace_config(const Context& context, ByteView bytes) override {
    use(context)->replace_config(context, bytes);
  }
  Buffer get(const Context& context, const ObjectName& object, uint64_t limit_bytes) override {
    return use(context)->get(context, object, limit_bytes);
  }
  void get_range(const Context& context, const ObjectName& object, uint64_t offset,
                 MutableBytes out) override {
    use(context)->get_range(context, object, offset, out);
  }
  std::optional<ObjectInfo> stat(const Context& context, const ObjectName& object) override {
    return use(context)->stat(context, object);
  }
  void list(const Context& context, ObjectKind kind,
            const std::function<void(const ObjectInfo&)>& on_object) override {
    use(context)->list(context, kind, on_object);
  }
  void list_prefix(const Context& context, ObjectKind kind, std::string_view prefix,
                   const std::function<void(const ObjectInfo&)>& on_object) override {
    use(context)->list_prefix(context, kind, prefix, on_object);
  }
  void remove(const Context& context, const ObjectName& object) override {
    use(context)->remove(context, object);
  }
  [[nodiscard]] StorageTraits traits() const override {
    return {.connections = connections_,
            .remote = true,
            .description = "rclone remote " + printable(remote_)};
  }

 private:
  // Holds back other puts of the same object: rclone would empty what the first one has stored.
  class OneAtATime {
   public:
    OneAtATime(RcloneStorage& storage, std::string name)
        : storage_(storage), name_(std::move(name)) {
      std::unique_lock lock(storage_.puts_mutex_);
      storage_.put_ended_.wait(lock, [this] { return storage_.puts_.insert(name_).second; });
    }
    ~OneAtATime() {
      {
        const std::scoped_lock lock(storage_.puts_mutex_);
        storage_.puts_.erase(name_);
      }
      storage_.put_ended_.notify_all();
    }
    OneAtATime(const OneAtATime&) = delete;
    OneAtATime& operator=(const OneAtATime&) = delete;

   private:
    RcloneStorage& storage_;
    const std::string name_;
  };

  // The size of an object that is there. One that is smaller than it should be may still be on its
  // way from another program: it gets some seconds to arrive.
  static std::optional<uint64_t> settled_size(const Context& context, Storage& storage,
                                              const ObjectName& object, uint64_t expected) {
    constexpr auto kArrival = std::chrono::seconds(5);
    constexpr auto kPause = std::chrono::milliseconds(100);
    const MonotonicTime give_up = context.clock.monotonic() + kArrival;
    for (;;) {
      context.check_stopped();
      const auto existing = storage.stat(context, object);
      if (!existing) {
        return std::nullopt;
      }
      if (existing->size_bytes >= expected || context.clock.monotonic() >= give_up) {
        return existing->size_bytes;
      }
      std::this_thread::sleep_for(kPause);
    }
  }

  // The storage ends before its server.
  struct Running {
    RcloneServer server;
    std::unique_ptr<Storage> storage;
  };

  // Shared with the calls that are under way when another server has to be started.
  std::shared_ptr<Storage> use(const Context& context) {
    context.check_stopped();
    const std::scoped_lock lock(mutex_);
    if (running_ && running_->server.ended()) {
      context.events.on(
          Warning{"rclone has ended (" + running_->server.last_words() + "); starting it again",
                  "Storing and reading goes on."});
      running_.reset();
    }
    if (!running_) {
      // Not make_shared: an aggregate with a member that cannot be moved.
      const std::shared_ptr<Running> started(new Running{{context, arguments_}, nullptr});
      StorageOptions options = options_;
      options.http.proxy = "";  // it is this machine
      options.environment = [](const std::string&) { return std::nullopt; };
      started->storage = open_rest_storage(started->server.url(), options, config_memory_);
      running_ = started;
    }
    return {running_, running_->storage.get()};
  }

  const std::vector<std::string> arguments_;
  const std::string remote_;
  const unsigned connections_;
  const StorageOptions options_;
  const std::shared_ptr<RestConfigMemory> config_memory_;  // outlives each server
  std::mutex mutex_;
  std::shared_ptr<Running> running_;  // under mutex_
  std::mutex puts_mutex_;
  std::condition_variable put_ended_;
  std::set<std::string> puts_;  // objects that are being stored; under puts_mutex_
};

}  // namespace

std::unique_ptr<Storage> open_rclone_storage(std::string_view rest, const StorageOptions& options) {
  ExtendedOptions extended(options, "rclone");
  const std::string program = extended.text("program", "rclone");
  const std::string words = extended.text("args", "serve restic --b2-hard-delete");
  const unsigned connections = extended.number("connections", 5, 1, 256);
  (void)extended.text("timeout");  // restic's, for the start
  extended.finish();
  if (rest.empty() || rest.starts_with('-')) {
    throw Error(ErrorCode::kUsage, "the rclone location names no remote",
                "Write rclone:REMOTE:PATH, with a remote of `rclone listremotes`.");
  }
  std::vector<std::string> arguments = split_command(program);
  for (std::string& word : split_command(words)) {
    if (word != "--stdio") {  // restic's way to talk to it
      arguments.push_back(std::move(word));
    }
  }
  // Its cache would not see what others store and remove.
  arguments.insert(arguments.end(),
                   {"--cache-objects=false", "--addr", "127.0.0.1:0", std::string(rest)});
  StorageOptions inner = options;
  inner.extended = {{"rest.connections", std::to_string(connections)}};
  return std::make_unique<RcloneStorage>(std::move(arguments), std::string(rest), connections,
                                         std::move(inner));
}

}  // namespace salvor
