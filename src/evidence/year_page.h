// A year of drills for an auditor (V6): how many per month and scenario against how many were
// expected, success rates, recovery times, gaps, and the list of the evidence with its hashes.
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "evidence/evidence_store.h"
#include "model/application.h"

namespace salvor {

// How often drills of a scenario were due, by month.
struct ExpectedDrills {
  std::string scenario;
  std::array<size_t, 12> months{};
};

struct ExpectedYear {
  WallTime since;  // what was due before is not counted
  std::vector<ExpectedDrills> drills;
};

// From the schedules of the configuration as it is now, from `since` (when the application was
// first protected) up to `until` (what lies ahead is not missed). Earlier schedules are not known.
[[nodiscard]] ExpectedYear expected_drills(const Application& application, int year, WallTime since,
                                           WallTime until);

struct YearMonth {
  size_t run = 0;
  size_t passed = 0;
  size_t expected = 0;
  [[nodiscard]] std::string text() const;  // "2 of 2", "-"
  [[nodiscard]] bool good() const { return passed >= expected && passed == run; }
};

struct YearScenario {
  std::string scenario;
  std::array<YearMonth, 12> months{};
  YearMonth total;
  std::string rate;  // "92 %"
  std::string best;  // recovery times
  std::string median;
  std::string worst;
  std::string objective;
};

struct YearEvidence {
  std::string date;
  std::string scenario;
  std::string rto;
  std::string rpo;
  std::string id;
  std::string sha256;
  std::string problem;  // of the signature
  bool passed = false;
};

struct YearPage {
  std::string title;
  bool good = false;
  std::string verdict;
  std::string sentence;
  std::string basis;  // what "expected" rests on
  std::vector<YearScenario> scenarios;
  std::vector<std::string> gaps;
  std::vector<YearEvidence> evidence;  // by date
};

// Evidence of other years is left out. `expected` empty: it is not known.
[[nodiscard]] YearPage year_page(int year, const std::string& application,
                                 std::span<const Evidence> evidence,
                                 const std::optional<ExpectedYear>& expected);
[[nodiscard]] std::string year_html(const YearPage& page);
// `created`: the document's date.
[[nodiscard]] std::string year_pdf(const YearPage& page, WallTime created, const std::string& font);

}  // namespace salvor
