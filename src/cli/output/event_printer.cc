#include "cli/output/event_printer.h"

#include "base/format.h"

namespace salvor::cli {

void EventPrinter::on(const Event& event) {
  if (const auto* failed = std::get_if<ItemFailed>(&event)) {
    ++errors_;
    on_failed(*failed);
  } else if (const auto* warning = std::get_if<Warning>(&event)) {
    ++warnings_;
    terminal_.warn(warning->message, warning->hint);
  } else if (wants_items()) {
    on_handled(std::get<ItemHandled>(event));
  }
}

bool EventPrinter::wants_items() const {
  return terminal_.verbosity() >= (terminal_.json() ? 2 : 3);
}

void EventPrinter::on_failed(const ItemFailed& failed) {
  if (terminal_.json()) {
    JsonWriter json;
    json.begin_message("error").key("error").begin_object().field("message", failed.message);
    json.end_object();
    // restic's word for the phase in which a backup reads files.
    json.field("during", failed.operation == "read" ? std::string("archival") : failed.operation);
    json.field("item", failed.item);
    if (!failed.hint.empty()) {
      json.field("hint", failed.hint);
    }
    terminal_.raw_error_line(json.end_object().text());
    return;
  }
  std::string text = "error: " + printable(failed.message);
  // Messages usually name their item; say it where one does not.
  if (failed.message.find(failed.item) == std::string::npos) {
    text = "error: " + printable(failed.item) + ": " + printable(failed.message);
  }
  if (!failed.hint.empty()) {
    text += "\nHINT: " + printable(failed.hint);
  }
  terminal_.raw_error_line(text);
}

void EventPrinter::on_handled(const ItemHandled& handled) {
  if (terminal_.json()) {
    JsonWriter json;
    json.begin_message("verbose_status").field("action", handled.action);
    json.field("item", handled.item).field("size", handled.size_bytes);
    if (handled.stored_bytes > 0) {  // restic's fields, where it is known what an item has added
      json.field("data_size", handled.size_bytes).field("data_size_in_repo", handled.stored_bytes);
    }
    terminal_.print_status_json(json.end_object());
    return;
  }
  std::string line = handled.action;
  line.resize(std::max<size_t>(line.size(), 9), ' ');
  line += ' ' + printable(handled.item);
  if (handled.size_bytes > 0) {
    line += ", " + format_bytes(handled.size_bytes);
    if (handled.stored_bytes > 0) {
      line += " (" + format_bytes(handled.stored_bytes) + " stored)";
    }
  }
  terminal_.message_at(3, line);
}

}  // namespace salvor::cli
