// Shows the engine's events on the terminal or as JSON, and counts them.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/events.h"
#include "cli/output/terminal.h"

namespace salvor::cli {

// Thread-safe.
//   text:  "cannot read /a: permission denied" and a HINT line for failed items; with -vv one line
//   a
//          handled item
//   JSON:  failed items as restic's
//   {"message_type":"error","error":{"message":...},"during":...,"item":...}
//          on stderr; with -v handled items as "verbose_status" on stdout
class EventPrinter : public EventSink {
 public:
  explicit EventPrinter(Terminal& terminal) : terminal_(terminal) {}

  void on(const Event& event) override;
  [[nodiscard]] bool wants_items() const override;

  // Items that failed. A command that ends with errors() > 0 returns exit_status(kIncomplete).
  [[nodiscard]] uint64_t errors() const { return errors_.load(); }
  [[nodiscard]] uint64_t warnings() const { return warnings_.load(); }

 private:
  void on_failed(const ItemFailed& failed);
  void on_handled(const ItemHandled& handled);

  Terminal& terminal_;
  std::atomic<uint64_t> errors_ = 0;
  std::atomic<uint64_t> warnings_ = 0;
};

}  // namespace salvor::cli
