#include "evidence/audit_trail.h"

#include <algorithm>

#include <fmt/format.h>

#include "model/utc_text.h"

namespace salvor {
namespace {

constexpr int kTries = 5;  // to find a free number at the chain's end
constexpr size_t kNameLimit = 100;

constexpr size_t kHashDigits = 64;
constexpr std::chrono::minutes kLate{1};

// Whether Journal::put failed because the name is taken by another content.
bool is_taken(const Context& context, const Journal& chain, uint64_t sequence, const Error& error) {
  return error.code() == ErrorCode::kFailed && chain.contains(context, audit_position(sequence));
}

// As of now: its time is that of its signature, for the key may be newer than what happened.
AuditRecord made_late(const Context& context, AuditRecord record) {
  TextMap& details = record.event.details;
  if (std::ranges::find(details, kHappenedDetail, &TextMap::value_type::first) == details.end()) {
    details.emplace_back(kHappenedDetail, utc_text(record.time));
  }
  record.time = context.clock.now();
  return record;
}

// For records out of the spool that are made anew.
AuditRecord made_again(const Context& context, AuditRecord record) {
  return context.clock.now() - record.time < kLate ? record : made_late(context, std::move(record));
}

void warn(const Context& context, const std::string& message, const std::string& hint) {
  context.events.on(Warning{message, hint});
}

}  // namespace

std::string audit_position(uint64_t sequence) {
  return fmt::format("{:010}", sequence);
}

std::string audit_writer_name(std::string_view host) {
  std::string name(host.substr(0, kNameLimit));
  for (char& c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '-' || c == '_';
    c = plain ? c : '_';
  }
  if (name.empty() || name[0] == '.' || name.find("-tmp-") != std::string::npos) {
    name.insert(0, "host_");
    std::replace(name.begin(), name.end(), '-', '_');
  }
  return name;
}

AuditTrail::AuditTrail(const Repository& repository, AuditOptions options)
    : repository_(repository),
      options_(std::move(options)),
      chain_(Journal::at(repository,
                         std::string(kAuditArea) + audit_writer_name(options_.writer) + "/")) {
  options_.writer = audit_writer_name(options_.writer);
}

AuditHead AuditTrail::find_end(const Context& context) const {
  // Numbers are contiguous, so the end is found by doubling and halving.
  const auto there = [&](uint64_t sequence) {
    return chain_.contains(context, audit_position(sequence));
  };
  uint64_t present = 0;
  uint64_t absent = 1;
  while (there(absent)) {
    present = absent;
    absent *= 2;
  }
  while (absent - present > 1) {
    const uint64_t middle = present + (absent - present) / 2;
    (there(middle) ? present : absent) = middle;
  }
  if (present == 0) {
    return {};
  }
  try {
    const Buffer last = chain_.get(context, audit_position(present));
    return {.sequence = present, .hash = audit_hash(as_text(last.view()))};
  } catch (const Error& error) {
    // The trail goes on after damage; `audit verify` finds it, and what follows it.
    if (error.code() != ErrorCode::kDamaged) {
      throw;
    }
    return {.sequence = present, .hash = std::string(kHashDigits, '0')};
  }
}

const SigningKey* AuditTrail::key(const Context& context) {
  if (options_.sign && !key_asked_) {
    key_asked_ = true;
    try {
      key_ = EvidenceKeys(repository_, options_.reader).signer(context, options_.who);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled) {
        throw;
      }
      warn(context, "audit records are not signed: " + error.message(), error.hint());
    }
  }
  return key_ ? &*key_ : nullptr;
}

std::string AuditTrail::make(const Context& context, AuditRecord record, const AuditHead& after) {
  record.writer = options_.writer;
  record.sequence = after.sequence + 1;
  record.previous = after.hash;
  return encode_audit_record(record, key(context));
}

// Lets everything in the spool follow the chain's end in the repository.
void AuditTrail::follow(const Context& context, AuditSpool& spool, AuditHead& head) {
  head = find_end(context);
  AuditHead end = head;
  std::vector<SpooledRecord> moved;
  const std::vector<SpooledRecord> old = spool.records();
  for (const SpooledRecord& record : old) {
    std::string text =
        make(context, made_again(context, decode_audit_record(record.text).record), end);
    end = {end.sequence + 1, audit_hash(text)};
    moved.push_back({end.sequence, std::move(text)});
  }
  // Written from the far end where numbers overlap: at no moment is a record in neither place.
  const bool upwards = !moved.empty() && moved[0].sequence > old[0].sequence;
  if (upwards) {
    std::reverse(moved.begin(), moved.end());
  }
  for (const SpooledRecord& record : moved) {
    spool.replace(record);
  }
  for (const SpooledRecord& record : old) {
    if (record.sequence <= head.sequence || record.sequence > end.sequence) {
      spool.remove(record.sequence);
    }
  }
}

// Before delivery: what could not be signed in an outage is signed now, and what follows a record
// that changed by that quotes its new hash. Records that are in the repository already stay.
void AuditTrail::straighten(const Context& context, AuditSpool& spool, const AuditHead& head) {
  AuditHead before = head;
  for (const SpooledRecord& record : spool.records()) {
    const DecodedAuditRecord decoded = decode_audit_record(record.text);
    const bool follows =
        before.sequence + 1 != record.sequence || decoded.record.previous == before.hash;
    const bool wants_signature = decoded.envelope.signatures.empty() && key(context) != nullptr &&
                                 !chain_.contains(context, audit_position(record.sequence));
    std::string text = record.text;
    if (!follows || wants_signature) {
      text = make(context, made_again(context, decoded.record),
                  {record.sequence - 1, follows ? decoded.record.previous : before.hash});
      spool.replace({record.sequence, text});
    }
    before = {record.sequence, audit_hash(text)};
  }
}

// Everything in the spool, in order; `head` moves along. False when the repository could not be
// written; throws what is not the storage's fault.
bool AuditTrail::deliver(const Context& context, AuditSpool& spool, AuditHead& head) {
  straighten(context, spool, head);
  for (int attempt = 0; attempt < kTries; ++attempt) {
    bool taken = false;
    for (const SpooledRecord& record : spool.records()) {
      try {
        chain_.put(context, audit_position(record.sequence), as_bytes(record.text));
      } catch (const Error& error) {
        if (!is_taken(context, chain_, record.sequence, error)) {
          warn(context,
               "the audit record waits on this machine, it could not be stored: " + error.message(),
               "It is delivered by the next command that can write to the repository.");
          return false;
        }
        taken = true;
        break;
      }
      head = {record.sequence, audit_hash(record.text)};
      spool.set_head(head);
      spool.remove(record.sequence);
    }
    if (!taken) {
      return true;
    }
    follow(context, spool, head);
  }
  warn(context,
       "the audit record waits on this machine: others write as \"" + options_.writer +
           "\" all the time",
       "Give each machine a name of its own: -o audit.writer=NAME.");
  return false;
}

AuditReceipt AuditTrail::write_without_spool(const Context& context, const AuditRecord& record,
                                             const Error& reason) {
  warn(context, "this machine cannot remember its audit records: " + reason.message(),
       "Make room there, or name a directory that it can write with -o audit.state=DIRECTORY.");
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const std::string text = make(context, record, find_end(context));
    const uint64_t sequence = decode_audit_record(text).record.sequence;
    try {
      chain_.put(context, audit_position(sequence), as_bytes(text));
      return AuditReceipt::kStored;
    } catch (const Error& error) {
      if (!is_taken(context, chain_, sequence, error)) {
        throw;
      }
    }
  }
  throw Error(ErrorCode::kFailed,
              "others write audit records as \"" + options_.writer + "\" all the time");
}

AuditRecord AuditTrail::record_now(const Context& context, const AuditEvent& event) const {
  return {.writer = {},
          .sequence = 0,
          .previous = {},
          .time = context.clock.now(),
          .who = options_.who,
          .program = options_.program,
          .event = event};
}

AuditReceipt AuditTrail::write(const Context& context, const AuditRecord& record) {
  std::optional<AuditSpool> spool;
  try {
    spool.emplace(AuditSpool::directory_of(options_.state_directory, repository_.config().id,
                                           options_.writer));
  } catch (const Error& error) {
    return write_without_spool(context, record, error);
  }
  const std::vector<SpooledRecord> waiting = spool->records();
  std::optional<AuditHead> head = spool->head();
  AuditHead end;
  if (!waiting.empty()) {
    end = {waiting.back().sequence, audit_hash(waiting.back().text)};
  } else if (head) {
    end = *head;
  } else {
    try {
      end = find_end(context);
    } catch (const Error& error) {
      // Without the repository nobody knows the number: it is set right at delivery.
      if (error.code() == ErrorCode::kCancelled) {
        throw;
      }
    }
  }
  const std::string text = make(context, record, end);
  AuditHead moving = head.value_or(AuditHead{});
  try {
    spool->add({end.sequence + 1, text});
  } catch (const Error& error) {
    // Where it is full, or the disk is, the repository can still take it: behind what waits.
    if (!waiting.empty() && !deliver(context, *spool, moving)) {
      throw;
    }
    return write_without_spool(context, record, error);
  }
  try {
    return deliver(context, *spool, moving) ? AuditReceipt::kStored : AuditReceipt::kSpooled;
  } catch (const Error& error) {
    warn(context, "the audit record waits on this machine: " + error.message(), error.hint());
    return AuditReceipt::kSpooled;
  }
}

AuditReceipt AuditTrail::record_before(const Context& context, const AuditEvent& event) {
  try {
    return write(context, record_now(context, event));
  } catch (Error& error) {
    error.within("what is about to be done cannot be recorded in the audit trail");
    throw;
  }
}

AuditReceipt AuditTrail::record_late(const Context& context, const AuditRecord& happened) {
  return record(context, made_late(context, happened));
}

AuditReceipt AuditTrail::record(const Context& context, const AuditEvent& event) {
  return record(context, record_now(context, event));
}

AuditReceipt AuditTrail::record(const Context& context, const AuditRecord& record) {
  try {
    return write(context, record);
  } catch (const Error& error) {
    warn(context, "the audit trail has no record of this: " + error.message(), error.hint());
    return AuditReceipt::kLost;
  }
}

}  // namespace salvor
