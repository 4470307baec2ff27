// What the engine tells the outside world while it works. Engine code never logs or prints: it
// emits these, and the terminal, JSON lines, the catalog and the log are sinks.
#pragma once

#include <cstdint>
#include <string>
#include <variant>

namespace salvor {

// One item (a file, a pack, a snapshot) could not be handled; the work goes on without it and the
// run ends as incomplete (exit 3) or failed.
struct ItemFailed {
  std::string operation;  // "read", "restore", "check" ...
  std::string item;       // path or object name, raw bytes
  std::string message;
  std::string hint;
};

// Something a person should know although nothing failed.
struct Warning {
  std::string message;
  std::string hint;
};

// An item was handled; emitted only when the caller asked for verbose events.
struct ItemHandled {
  std::string
      action;  // "new", "changed", "unchanged", "restored", "updated", "deleted", "skipped" ...
  std::string item;
  std::string type;         // node type, or empty
  uint64_t size_bytes = 0;  // plaintext
  uint64_t stored_bytes = 0;
};

using Event = std::variant<ItemFailed, Warning, ItemHandled>;

// Thread-safe; called from any worker thread, so it must be quick.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void on(const Event& event) = 0;
  // Whether ItemHandled is worth building (100,000 files make 100,000 of them).
  [[nodiscard]] virtual bool wants_items() const { return false; }
};

class NullEventSink final : public EventSink {
 public:
  void on(const Event&) override {}
};

}  // namespace salvor
