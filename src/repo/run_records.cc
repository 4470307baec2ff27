#include "repo/run_records.h"

#include <array>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "codec/run_record_codec.h"

namespace salvor {
namespace {

constexpr size_t kIdDigits = 32;

bool is_run_id(std::string_view id) {
  return id.size() == kIdDigits &&
         id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

std::string make_run_id(Random& random) {
  std::array<std::byte, kIdDigits / 2> bytes{};
  random.fill(bytes);
  return to_hex(bytes);
}

std::string run_record_position(const RunRecord& record) {
  const auto started = std::chrono::time_point_cast<std::chrono::system_clock::duration>(
      std::chrono::floor<std::chrono::seconds>(record.started));
  const std::tm utc = fmt::gmtime(std::chrono::system_clock::to_time_t(started));
  return fmt::format("{:%Y-%m}/{:%Y%m%dT%H%M%SZ}-{}", utc, utc, record.id);
}

std::string run_id_of(std::string_view position) {
  const size_t dash = position.rfind('-');
  const std::string_view id = dash == std::string_view::npos ? "" : position.substr(dash + 1);
  return is_run_id(id) ? std::string(id) : "";
}

RunRecords::RunRecords(const Repository& repository) : area_(Journal::at(repository, "records/")) {}

void RunRecords::store(const Context& context, const RunRecord& record) const {
  if (!is_run_id(record.id)) {
    throw Error(ErrorCode::kUsage, "\"" + record.id + "\" is not the id of a run");
  }
  static_cast<void>(
      area_.put(context, run_record_position(record), as_bytes(encode_run_record(record))));
}

std::vector<std::string> RunRecords::list(const Context& context) const {
  std::vector<std::string> positions;
  for (JournalEntry& entry : area_.list(context)) {
    if (!run_id_of(entry.position).empty()) {
      positions.push_back(std::move(entry.position));
    }
  }
  return positions;
}

RunRecord RunRecords::load(const Context& context, const std::string& position) const {
  RunRecord record = decode_run_record(area_.get(context, position).view());
  if (run_record_position(record) != position) {
    throw Error(ErrorCode::kDamaged, "run record " + position + " is of another run");
  }
  return record;
}

}  // namespace salvor
