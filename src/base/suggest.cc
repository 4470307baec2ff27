#include "base/suggest.h"

#include <algorithm>
#include <utility>

namespace salvor {
namespace {

// Optimal string alignment distance: insert, delete, replace, swap of neighbours.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> cost(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    cost[i][0] = i;
  }
  for (size_t j = 0; j <= b.size(); ++j) {
    cost[0][j] = j;
  }
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1,
                             cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

std::vector<std::string> suggestions(std::string_view typed,
                                     const std::vector<std::string>& candidates) {
  static constexpr size_t kLongest = 64;
  static constexpr size_t kMost = 3;
  std::vector<std::pair<size_t, std::string>> scored;
  if (typed.empty() || typed.size() > kLongest) {
    return {};
  }
  for (const std::string& candidate : candidates) {
    size_t distance = edit_distance(typed, candidate);
    if (typed.size() >= 2 && candidate.starts_with(typed)) {
      distance = std::min<size_t>(distance, 1);
    }
    if (distance <= std::max<size_t>(1, std::min<size_t>(typed.size() / 3, 3))) {
      scored.emplace_back(distance, candidate);
    }
  }
  std::stable_sort(scored.begin(), scored.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> best;
  for (size_t i = 0; i < scored.size() && i < kMost; ++i) {
    if (scored[i].first > scored[0].first + 1) {
      break;
    }
    best.push_back(scored[i].second);
  }
  return best;
}

}  // namespace salvor
