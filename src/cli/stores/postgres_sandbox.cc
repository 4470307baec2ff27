#include "cli/stores/postgres_sandbox.h"

#include <filesystem>

#include <fmt/format.h>

#include "cli/stores/postgres_points.h"
#include "cli/stores/sandbox_server.h"
#include "connector/postgres/local_server.h"
#include "engine/postgres/postgres_proof.h"

namespace salvor::cli {
namespace {

class PostgresSandbox final : public SandboxedStore {
 public:
  PostgresSandbox(const StoreSite& site, const SourceSpec& source, const SandboxSpec& sandbox)
      : site_(site),
        source_(source),
        isolated_(!sandbox.network),
        sandbox_(sandbox_parent(sandbox)),
        data_(sandbox_.path() + "/data"),
        server_(source, {.data = data_,
                         .isolated = isolated_,
                         .superuser = source.settings.text("superuser", "postgres"),
                         .database = [&site, &source] { return source_database(site, source); }}) {}

  [[nodiscard]] TextMap outputs() const override { return server_.outputs(); }
  [[nodiscard]] RestoreOutcome restored() const override { return restored_; }
  [[nodiscard]] std::vector<CheckResult> check(const Context& context) override {
    return server_.check(context);
  }
  std::string break_it(const Context& context, const std::string& scenario) override {
    return server_.break_it(context, scenario);
  }
  [[nodiscard]] KeptStore leave(const Context& context) override {
    KeptStore kept = server_.leave(context);
    sandbox_.keep();
    return kept;
  }
  [[nodiscard]] RestoreOutcome recover(const Context& context, const RestoreOrder& order) override;

 private:
  const StoreSite& site_;
  const SourceSpec& source_;
  const bool isolated_;
  Sandbox sandbox_;
  const std::string data_;
  SandboxServer server_;
  std::optional<WallTime> content_of_;  // what the server remembers was restored to this
  std::string content_snapshot_;        // and from this
  RestoreOutcome restored_;
};

RestoreOutcome PostgresSandbox::recover(const Context& context, const RestoreOrder& order) {
  server_.drop();
  PostgresRestoreOptions options = common_options(source_, order);
  options.target = data_;
  options.tablespaces_in = sandbox_.path() + "/tablespaces";
  options.copy = true;
  options.no_network = isolated_;
  options.settings = postgres::nothing_preloaded();
  options.existing = order.old_data == OldData::kMoveAside ? ExistingCluster::kMoveAside
                                                           : ExistingCluster::kOverwrite;
  SourceRepository at(site_, context, source_, {.lock = LockMode::kShared});
  const auto [points, chosen] =
      choose_recovery(site_, at.context(), at.repository(), source_, order);
  options.recovery = chosen.target;
  at.repository().load_index(at.context());
  require_passage(sandbox_.path(), cluster_owner(at.context(), at.repository(),
                                                 chosen.plan.backup.snapshot.snapshot.tree));
  if (!std::filesystem::exists(data_ + "/PG_VERSION")) {
    // Lost, and with it whatever said that these tablespaces are its own: a restore would leave
    // them alone as another cluster's.
    std::error_code ignored;
    std::filesystem::remove_all(options.tablespaces_in, ignored);
  }
  make_passable(options.tablespaces_in);
  PostgresRestorer restorer(at.repository(), *points.archive);
  const PostgresRestoreResult result = run_under_lock(
      at.session(), at.opened(), [&] { return restorer.run(at.context(), chosen.plan, options); });
  server_.start(context);
  RestoreOutcome outcome;
  outcome.snapshot = chosen.plan.backup.snapshot.id.hex();
  outcome.reached = chosen.reached;
  outcome.restored_bytes = result.restored_bytes;
  outcome.written_bytes = result.written_bytes;
  outcome.old_data = result.moved_aside;
  outcome.facts = {{"timeline", std::to_string(result.timeline.value)},
                   {"restore-seconds", fmt::format("{:.3f}", result.files_time.count())},
                   {"log-seconds", fmt::format("{:.3f}", result.recovery_time.count())}};
  if (content_of_ != outcome.reached || content_snapshot_ != outcome.snapshot ||
      !server_.remembers()) {
    server_.remember(context);
    content_of_ = outcome.reached;
    content_snapshot_ = outcome.snapshot;
  }
  restored_ = outcome;
  return outcome;
}

}  // namespace

std::unique_ptr<SandboxedStore> open_postgres_sandbox(const StoreSite& site, const Context& context,
                                                      const SourceSpec& source,
                                                      const SandboxSpec& sandbox,
                                                      const RestoreOrder& order) {
  auto made = std::make_unique<PostgresSandbox>(site, source, sandbox);
  static_cast<void>(made->recover(context, order));
  return made;
}

}  // namespace salvor::cli
