#include "evidence/audit_queue.h"

#include <filesystem>

namespace salvor {

std::string AuditQueue::directory(const std::string& repository) const {
  return AuditSpool::directory_of(options_.state_directory,
                                  "queue/" + audit_writer_name(repository),
                                  audit_writer_name(options_.writer));
}

void AuditQueue::note(const Context& context, const std::string& repository,
                      const AuditEvent& event) {
  AuditRecord record{.writer = audit_writer_name(options_.writer),
                     .sequence = 1,
                     .previous = {},
                     .time = context.clock.now(),
                     .who = options_.who,
                     .program = options_.program,
                     .event = event};
  try {
    AuditSpool spool(directory(repository));
    const std::vector<SpooledRecord> waiting = spool.records();
    record.sequence = waiting.empty() ? 1 : waiting.back().sequence + 1;
    spool.add({record.sequence, encode_audit_record(record, nullptr)});
  } catch (const Error& error) {
    context.events.on(
        Warning{"this machine cannot keep an audit record: " + error.message(), error.hint()});
    in_memory_[repository].push_back(std::move(record));
  }
}

size_t AuditQueue::deliver(const Context& context, const std::string& repository,
                           const Repository& open) {
  std::vector<AuditRecord> kept = std::move(in_memory_[repository]);
  in_memory_.erase(repository);
  AuditTrail trail(open, options_);
  size_t delivered = 0;
  try {
    if (std::filesystem::exists(directory(repository))) {
      AuditSpool spool(directory(repository));
      for (const SpooledRecord& waiting : spool.records()) {
        // kLost: it stays for the next time.
        if (trail.record_late(context, decode_audit_record(waiting.text).record) !=
            AuditReceipt::kLost) {
          spool.remove(waiting.sequence);
          ++delivered;
        }
      }
    }
  } catch (const Error& error) {
    context.events.on(
        Warning{"audit records wait on this machine: " + error.message(), error.hint()});
  }
  for (AuditRecord& record : kept) {
    if (trail.record_late(context, record) == AuditReceipt::kLost) {
      in_memory_[repository].push_back(std::move(record));
    } else {
      ++delivered;
    }
  }
  return delivered;
}

size_t AuditQueue::waiting(const std::string& repository) const {
  const auto kept = in_memory_.find(repository);
  size_t count = kept == in_memory_.end() ? 0 : kept->second.size();
  if (std::filesystem::exists(directory(repository))) {
    count += AuditSpool(directory(repository)).records().size();
  }
  return count;
}

}  // namespace salvor
