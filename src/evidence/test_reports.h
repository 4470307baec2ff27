// Drill reports for tests and for the pictures in docs/.
#pragma once

#include "model/drill_report.h"

namespace salvor::test {

// 2026-11-02 06:00:00 UTC and so many seconds.
[[nodiscard]] inline WallTime at(double seconds) {
  return WallTime(std::chrono::seconds(1793599200)) +
         std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::duration<double>(seconds));
}

[[nodiscard]] inline DrillStep step(std::string id, std::string title, std::string kind,
                                    double from, double to, std::string summary,
                                    std::vector<std::string> after = {}) {
  return {.id = std::move(id),
          .title = std::move(title),
          .kind = std::move(kind),
          .state = "done",
          .started = at(from),
          .finished = at(to),
          .attempts = 1,
          .summary = std::move(summary),
          .error = {},
          .checks = {},
          .after = std::move(after)};
}

// A drill that passed: a shop's database and uploads, a table dropped.
[[nodiscard]] inline DrillReport drill_report() {
  DrillReport report;
  report.id = "5f0c2a9be17d4c3386d1a04f77b2e951";
  report.name = "monthly";
  report.application = "Shop";
  report.environment = "production";
  report.plan = "full-recovery";
  report.plan_hash = "9b74c9897bac770ffc029102a200c5de9f6a1f0a9d1a5b6bb1f2e2cd7f3cb1aa";
  report.scenario = "deletion";
  report.sandbox = "local";
  report.who = "ops@backup-1";
  report.program = "salvor 0.1.0";
  report.started = at(0);
  report.declared = at(31);
  report.service_ok = at(403);
  report.finished = at(412);
  report.outcome = RunOutcome::kSucceeded;
  report.points = {{.source = "shop-db",
                    .snapshot = "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809",
                    .asked = "2026-11-02 06:00:30 UTC",
                    .wanted = at(30),
                    .captured = at(-14400),
                    .reached = at(29.6),
                    .restored_bytes = 8'431'222'784,
                    .older = false,
                    .fault = "the table orders was dropped, 1,204,331 rows"},
                   {.source = "uploads",
                    .snapshot = "c0ffee0011223344556677889900aabbccddeeff00112233445566778899aabb",
                    .asked = "latest",
                    .wanted = at(30),
                    .captured = at(-1800),
                    .reached = at(-1800),
                    .restored_bytes = 3'221'225'472,
                    .older = false,
                    .fault = {}}};
  report.steps = {
      step("stop", "Stop the application", "command", 31, 36, "3 services stopped"),
      step("db", "Restore the database", "restore", 36, 278, "7.85 GiB, log replayed to 06:00:29",
           {"stop"}),
      step("files", "Restore the uploads", "restore", 36, 187, "48,112 files", {"stop"}),
      step("migrate", "Run the migrations", "command", 278, 291, "nothing to do", {"db"}),
      step("start", "Start the application", "command", 291, 318, "3 services run",
           {"migrate", "files"}),
      step("verify", "Ask the shop", "http", 318, 403, "200 in 84 ms", {"start"})};
  report.checks = {
      {"rows of orders", true, "1204331", "1204331", 2.1},
      {"pg_amcheck shop", true, "no damage found", "", 61.4},
      {"SELECT max(at) > now() - interval '1 day' FROM orders", true, "true", "true", 0.02},
      {"files compared", true, "48112 equal", "48112", 17.5},
      {"GET /health", true, "200 in 84 ms", "200 within 500 ms", 0.084}};
  report.measures = {{"", 372, 1830, 900, 3600, true},
                     {"shop-db", 247, 0.4, {}, 300, true},
                     {"uploads", 151, 1830, {}, 3600, true}};
  report.findings = {"The migration step had nothing to do: it was not exercised."};
  return report;
}

}  // namespace salvor::test
