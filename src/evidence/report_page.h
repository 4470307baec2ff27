// What a report of one drill says, as texts and numbers in the order in which they are read. The
// terminal, HTML and PDF only lay it out. The same for the same evidence.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "evidence/evidence_store.h"

namespace salvor {

struct ReportMeasure {
  std::string what;           // "the application", a source
  std::string rto;            // "6 min 12 s", "not measured"
  std::string rto_objective;  // "15 min", "none"
  std::string rpo;
  std::string rpo_objective;
  bool rto_met = true;
  bool rpo_met = true;
};

enum class Mark : uint8_t { kGood, kBad, kNeutral };

struct ReportBar {
  std::string title;
  std::string kind;
  std::string text;   // duration, what it did: for those who do not see the picture
  std::string note;   // what stands beside it: the duration, and the state when it is not "done"
  std::string state;  // "done", "failed" ...
  Mark mark = Mark::kGood;
  double from = 0;  // share of the whole, 0 to 1
  double to = 0;
  bool shown = false;  // it ran
};

struct ReportTick {
  double at = 0;  // share of the whole
  std::string label;
};

// Steps over time. Zero is when the failure was declared, else when the drill began.
struct ReportTimeline {
  std::string summary;  // the picture in words, for those who cannot see it
  std::vector<ReportBar> bars;
  std::vector<ReportTick> ticks;
  std::optional<double> declared;  // shares
  std::optional<double> service_ok;
};

struct ReportStep {
  std::string title;
  std::string state;
  std::string took;
  std::string after;  // the failure, when it had ended
  std::string what;   // it did, or why it failed
  Mark mark = Mark::kGood;
};

struct ReportCheck {
  std::string name;
  std::string value;
  std::string expected;
  std::string duration;
  bool passed = false;
};

struct ReportPage {
  std::string title;     // "Recovery drill of Shop (production)"
  bool passed = false;   // the drill did, and the evidence can be believed
  std::string verdict;   // "PASSED"
  std::string sentence;  // what it means
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<ReportMeasure> measures;
  std::vector<std::vector<std::string>> points;  // source, snapshot, asked, data until, restored
  ReportTimeline timeline;
  std::vector<ReportStep> steps;
  std::vector<ReportCheck> checks;
  std::vector<std::string> findings;
  std::string signature;  // one sentence
  bool believed = false;  // the signature is good
  std::vector<std::pair<std::string, std::string>> signature_facts;
  std::vector<std::string> how_to_verify;  // commands
};

[[nodiscard]] ReportPage report_page(const Evidence& evidence);
// For the terminal; lines end in a newline.
[[nodiscard]] std::string report_text(const ReportPage& page);

}  // namespace salvor
