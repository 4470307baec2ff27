#include "evidence/audit_verify.h"

#include <algorithm>
#include <charconv>
#include <map>

#include <fmt/format.h>

#include "base/format.h"
#include "evidence/audit_trail.h"
#include "evidence/json.h"
#include "model/utc_text.h"

namespace salvor {
namespace {

constexpr size_t kHeadsLimit = size_t{1} << 20;
constexpr auto kClockTolerance = std::chrono::minutes(5);
constexpr size_t kPositionDigits = 10;

bool is_hash(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

using Chains = std::map<std::string, std::map<uint64_t, VerifiedAuditRecord>>;

// One chain after the other; what it finds goes into the report.
class Verifier {
 public:
  Verifier(std::span<const TrustedKey> keys, std::span<const std::string> unsigned_writers,
           AuditReport& report)
      : keys_(keys), unsigned_writers_(unsigned_writers), report_(report) {}

  void take(const StoredAuditRecord& stored) {
    if (stored.writer != writer_) {
      begin(stored.writer);
    }
    expect_number(stored);
    last_ = stored.sequence;
    if (!stored.unreadable.empty()) {
      problem(stored.sequence, stored.unreadable);
      hash_.reset();
      return;
    }
    VerifiedAuditRecord verified{.record = {}, .hash = audit_hash(stored.text), .key_id = {}};
    try {
      DecodedAuditRecord decoded = decode_audit_record(stored.text);
      verified.key_id = signer(decoded);
      verified.record = std::move(decoded.record);
    } catch (const Error& error) {
      problem(stored.sequence, "the record is not authentic: " + error.message());
      hash_ = verified.hash;
      return;
    }
    check_place(stored, verified);
    hash_ = verified.hash;
    chains_[writer_][stored.sequence] = verified;
    report_.records.push_back(std::move(verified));
  }

  // After all records: the heads that somebody knows.
  void expect(const WriterHead& known, const std::string& who_says) {
    const auto chain = chains_.find(known.writer);
    const std::string place = fmt::format("{} knows record {}", who_says, known.head.sequence);
    writer_ = known.writer;
    if (chain == chains_.end() || !chain->second.contains(known.head.sequence)) {
      problem(0, place + ", which is not there: the chain was cut off or removed");
    } else if (chain->second.at(known.head.sequence).hash != known.head.hash) {
      problem(known.head.sequence, place + " as another one: it was exchanged");
    }
  }

  void finish() {
    end_chain();
    for (const auto& [writer, chain] : chains_) {
      report_.heads.push_back({writer, {chain.rbegin()->first, chain.rbegin()->second.hash}});
    }
    for (const auto& [writer, chain] : chains_) {
      for (const auto& [sequence, verified] : chain) {
        expect_quoted(verified);
      }
    }
  }

 private:
  void begin(const std::string& writer) {
    end_chain();
    writer_ = writer;
    last_ = 0;
    hash_ = std::string();
    time_ = WallTime::min();
    signed_ = false;
  }

  // What nobody has signed by the end of the chain, nobody vouches for.
  void end_chain() {
    if (unsigned_.empty()) {
      return;
    }
    const std::string which =
        unsigned_.size() == 1
            ? "it is not signed"
            : fmt::format("{} records from here on are not signed", unsigned_.size());
    problem(unsigned_.front(),
            which +
                ", nor is a later one of this writer: whoever can write to the repository can "
                "have written that");
    unsigned_.clear();
  }

  [[nodiscard]] bool may_be_unsigned() const {
    return std::find(unsigned_writers_.begin(), unsigned_writers_.end(), writer_) !=
           unsigned_writers_.end();
  }

  // A signed record quotes those before it, and they those before them.
  void check_signature(uint64_t sequence, bool is_signed) {
    if (is_signed) {
      for (const uint64_t earlier : unsigned_) {
        note(earlier, "it is not signed; a later one, which is, quotes it");
      }
      unsigned_.clear();
      signed_ = true;
    } else if (may_be_unsigned()) {
      note(sequence, "it is not signed, as was allowed");
    } else if (signed_) {
      problem(sequence, "it is not signed, although earlier ones are");
    } else {
      unsigned_.push_back(sequence);
    }
  }

  void expect_number(const StoredAuditRecord& stored) {
    if (stored.sequence == last_ + 1) {
      return;
    }
    if (stored.sequence <= last_) {
      problem(stored.sequence, "there are two records of this number");
    } else if (stored.sequence == last_ + 2) {
      problem(last_ + 1, "the record is missing: it was removed");
    } else {
      problem(last_ + 1, fmt::format("the records {} to {} are missing: they were removed",
                                     last_ + 1, stored.sequence - 1));
    }
    hash_.reset();
  }

  std::string signer(const DecodedAuditRecord& decoded) {
    if (decoded.envelope.signatures.empty()) {
      return {};
    }
    const TrustedKey& key = verify_envelope(decoded.envelope, keys_);
    const WallTime time = decoded.record.time;
    if ((key.from && time + kClockTolerance < *key.from) ||
        (key.to && time > *key.to + kClockTolerance)) {
      throw Error(ErrorCode::kDamaged,
                  "it is of " + utc_text(time) + ", when its key did not count");
    }
    return key.key.id();
  }

  void check_place(const StoredAuditRecord& stored, const VerifiedAuditRecord& verified) {
    const AuditRecord& record = verified.record;
    if (record.writer != stored.writer || record.sequence != stored.sequence) {
      problem(stored.sequence, fmt::format("it is record {} of {}, put in another place",
                                           record.sequence, printable(record.writer)));
    }
    if (hash_ && record.previous != *hash_) {
      problem(stored.sequence, "it does not follow the record before, which was exchanged");
    }
    if (record.time + kClockTolerance < time_) {
      note(stored.sequence, "its time is before that of the record before: a clock was set back");
    }
    time_ = std::max(time_, record.time);
    check_signature(stored.sequence, !verified.key_id.empty());
  }

  void expect_quoted(const VerifiedAuditRecord& verified) {
    for (const auto& [name, value] : verified.record.event.details) {
      const size_t space = value.find(' ');
      if (!name.starts_with(kHeadDetail) || space == std::string::npos) {
        continue;
      }
      uint64_t sequence = 0;
      std::from_chars(value.data(), value.data() + space, sequence);
      expect({name.substr(kHeadDetail.size()), {sequence, value.substr(space + 1)}},
             fmt::format("record {} of {}", verified.record.sequence, verified.record.writer));
    }
  }

  void problem(uint64_t sequence, std::string text) {
    report_.findings.push_back({true, writer_, sequence, std::move(text)});
  }
  void note(uint64_t sequence, std::string text) {
    report_.findings.push_back({false, writer_, sequence, std::move(text)});
  }

  std::span<const TrustedKey> keys_;
  std::span<const std::string> unsigned_writers_;
  AuditReport& report_;
  Chains chains_;
  std::string writer_;
  uint64_t last_ = 0;
  std::optional<std::string> hash_ = std::string();  // of the record before; nothing: not known
  WallTime time_ = WallTime::min();
  bool signed_ = false;
  std::vector<uint64_t> unsigned_;  // that no later record has vouched for yet
};

}  // namespace

std::string encode_audit_heads(const AuditHeads& heads, const SigningKey& key) {
  Json::Array all;
  for (const WriterHead& one : heads.heads) {
    all.emplace_back(Json::Object{{"writer", one.writer},
                                  {"sequence", Json::bytes(one.head.sequence)},
                                  {"sha256", one.head.hash}});
  }
  std::string payload = Json(Json::Object{{"version", Json::integer(1)},
                                          {"repository", heads.repository},
                                          {"time", Json::time(heads.time)},
                                          {"heads", std::move(all)}})
                            .text();
  return encode_envelope(sign_envelope(std::string(kAuditHeadsPayload), std::move(payload), key));
}

AuditHeads decode_audit_heads(std::string_view text, std::span<const TrustedKey> keys) {
  const Envelope envelope = decode_envelope(text);
  if (envelope.payload_type != kAuditHeadsPayload) {
    throw Error(ErrorCode::kDamaged, "it holds no heads of an audit trail",
                "`salvor audit head` writes them.");
  }
  (void)verify_envelope(envelope, keys);
  const Json json = Json::parse(envelope.payload, kHeadsLimit);
  AuditHeads heads{.repository = json.text_at("repository"),
                   .time = json.time_at("time").value_or(WallTime()),
                   .heads = {}};
  for (const Json& one : json.at("heads").as_array("heads")) {
    WriterHead head{one.text_at("writer"), {one.number_or("sequence", 0), one.text_at("sha256")}};
    if (!is_hash(head.head.hash)) {
      throw Error(ErrorCode::kDamaged, "it has a hash that is none");
    }
    heads.heads.push_back(std::move(head));
  }
  return heads;
}

std::vector<StoredAuditRecord> load_audit_records(const Context& context,
                                                  const Repository& repository) {
  const Journal area = Journal::at(repository, std::string(kAuditArea));
  std::vector<StoredAuditRecord> records;
  for (const JournalEntry& entry : area.list(context)) {
    const size_t slash = entry.position.rfind('/');
    StoredAuditRecord record{
        .writer = entry.position.substr(0, slash), .sequence = 0, .text = {}, .unreadable = {}};
    const std::string number = slash == std::string::npos ? "" : entry.position.substr(slash + 1);
    const char* end = number.data() + number.size();
    const auto [at, error] = std::from_chars(number.data(), end, record.sequence);
    if (number.size() < kPositionDigits || error != std::errc() || at != end) {
      record.unreadable = "a foreign object is in the trail: " + printable(entry.position);
    } else {
      try {
        const Buffer content = area.get(context, entry.position);
        record.text = as_text(content.view());
      } catch (const Error& failure) {
        if (failure.code() != ErrorCode::kDamaged && failure.code() != ErrorCode::kNotFound) {
          throw;
        }
        record.unreadable = "the record cannot be read: " + failure.message();
      }
    }
    records.push_back(std::move(record));
  }
  return records;
}

std::vector<StoredAuditRecord> parse_audit_export(std::string_view text) {
  std::vector<StoredAuditRecord> records;
  size_t number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = std::min(text.find('\n'), text.size() - 1) + 1;
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end);
    try {
      const DecodedAuditRecord decoded = decode_audit_record(line);
      records.push_back({decoded.record.writer, decoded.record.sequence, std::string(line), {}});
    } catch (Error& error) {
      throw error.within(fmt::format("line {}", number));
    }
  }
  return records;
}

bool AuditReport::sound() const {
  return std::none_of(findings.begin(), findings.end(),
                      [](const AuditFinding& finding) { return finding.is_problem; });
}

AuditReport verify_audit(std::vector<StoredAuditRecord> stored, std::span<const TrustedKey> keys,
                         std::span<const WriterHead> known,
                         std::span<const std::string> unsigned_writers) {
  std::stable_sort(stored.begin(), stored.end(),
                   [](const StoredAuditRecord& a, const StoredAuditRecord& b) {
                     return std::tie(a.writer, a.sequence) < std::tie(b.writer, b.sequence);
                   });
  AuditReport report;
  Verifier verifier(keys, unsigned_writers, report);
  for (const StoredAuditRecord& record : stored) {
    verifier.take(record);
  }
  verifier.finish();
  for (const WriterHead& head : known) {
    verifier.expect(head, "what was kept elsewhere");
  }
  std::stable_sort(report.records.begin(), report.records.end(),
                   [](const VerifiedAuditRecord& a, const VerifiedAuditRecord& b) {
                     return a.record.time < b.record.time;
                   });
  return report;
}

}  // namespace salvor
