#include "repo/run_records.h"

#include <algorithm>
#include <array>
#include <mutex>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/task.h"
#include "codec/run_record_codec.h"

namespace salvor {
namespace {

constexpr size_t kIdDigits = 32;
constexpr size_t kTimeLength = 16;  // yyyymmddThhmmssZ
constexpr std::string_view kBundles = "bundles/";

bool is_run_id(std::string_view id) {
  return id.size() == kIdDigits &&
         id.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::tm utc_of(WallTime time) {
  const auto cut = std::chrono::time_point_cast<std::chrono::system_clock::duration>(
      std::chrono::floor<std::chrono::seconds>(time));
  return fmt::gmtime(std::chrono::system_clock::to_time_t(cut));
}

// "bundles/<from>-<to>"; nothing for another name.
std::optional<RecordBundle> bundle_of(const std::string& position) {
  constexpr size_t kLength = kBundles.size() + 2 * kTimeLength + 1;
  if (!position.starts_with(kBundles) || position.size() != kLength ||
      position[kBundles.size() + kTimeLength] != '-') {
    return {};
  }
  return RecordBundle{.position = position,
                      .from = position.substr(kBundles.size(), kTimeLength),
                      .to = position.substr(kLength - kTimeLength)};
}

}  // namespace

std::string make_run_id(Random& random) {
  std::array<std::byte, kIdDigits / 2> bytes{};
  random.fill(bytes);
  return to_hex(bytes);
}

std::string run_record_position(const RunRecord& record) {
  const std::tm utc = utc_of(record.started);
  return fmt::format("{:%Y-%m}/{:%Y%m%dT%H%M%SZ}-{}", utc, utc, record.id);
}

std::string run_id_of(std::string_view position) {
  const size_t dash = position.rfind('-');
  const std::string_view id = dash == std::string_view::npos ? "" : position.substr(dash + 1);
  return is_run_id(id) ? std::string(id) : "";
}

std::string_view run_time_of(std::string_view position) {
  const size_t slash = position.find('/');
  return slash == std::string_view::npos ? "" : position.substr(slash + 1, kTimeLength);
}

RunRecords::RunRecords(const Repository& repository)
    : repository_(repository), area_(Journal::at(repository, "records/")) {}

void RunRecords::store(const Context& context, const RunRecord& record) const {
  if (!is_run_id(record.id)) {
    throw Error(ErrorCode::kUsage, "\"" + record.id + "\" is not the id of a run");
  }
  static_cast<void>(
      area_.put(context, run_record_position(record), as_bytes(encode_run_record(record))));
}

RecordNames RunRecords::list_all(const Context& context) const {
  RecordNames names;
  for (JournalEntry& entry : area_.list(context)) {
    if (!run_id_of(entry.position).empty()) {
      names.positions.push_back(std::move(entry.position));
    } else if (auto bundle = bundle_of(entry.position)) {
      names.bundles.push_back(std::move(*bundle));
    }
  }
  return names;
}

std::vector<std::string> RunRecords::list_days(const Context& context, WallTime from,
                                               WallTime to) const {
  std::vector<std::string> days;
  for (auto day = std::chrono::floor<std::chrono::days>(from); day <= to && days.size() < kMostDays;
       day += std::chrono::days(1)) {
    const std::tm utc = utc_of(day);
    days.push_back(fmt::format("{:%Y-%m}/{:%Y%m%d}", utc, utc));
  }
  std::mutex mutex;
  std::vector<std::string> positions;
  ThreadPool pool("records", std::min<unsigned>(threads(), static_cast<unsigned>(days.size())));
  TaskGroup group(pool, context.stop);
  for (const std::string& day : days) {
    group.run([&, this] {
      const std::vector<JournalEntry> entries =
          area_.list(context.with_stop(group.stop_token()), day);
      const std::scoped_lock lock(mutex);
      for (const JournalEntry& entry : entries) {
        if (!run_id_of(entry.position).empty()) {
          positions.push_back(entry.position);
        }
      }
    });
  }
  group.wait();
  std::sort(positions.begin(), positions.end());
  return positions;
}

unsigned RunRecords::threads() const {
  return std::max(1U, repository_.storage().traits().connections);
}

RunRecord RunRecords::load(const Context& context, const std::string& position) const {
  RunRecord record = decode_run_record(area_.get(context, position).view());
  if (run_record_position(record) != position) {
    throw Error(ErrorCode::kDamaged, "run record " + position + " is of another run");
  }
  return record;
}

void RunRecords::store_bundle(const Context& context, const std::vector<RunRecord>& records) const {
  std::string content;
  for (const RunRecord& record : records) {
    content += encode_run_record(record) + "\n";
  }
  const std::string position =
      fmt::format("{}{}-{}", kBundles, run_time_of(run_record_position(records.front())),
                  run_time_of(run_record_position(records.back())));
  if (!area_.contains(context, position)) {
    static_cast<void>(area_.put(context, position, as_bytes(content)));
  }
}

std::vector<RunRecord> RunRecords::load_bundle(const Context& context,
                                               const std::string& position) const {
  const Buffer content = area_.get(context, position);
  std::string_view rest = as_text(content.view());
  std::vector<RunRecord> records;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    records.push_back(decode_run_record(as_bytes(rest.substr(0, end))));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return records;
}

}  // namespace salvor
