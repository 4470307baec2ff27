// SQL on a PostgreSQL server. Without `changes` it runs read-only. With it, the statements and what
// they change are one transaction, whose number is journalled before it is committed: after a crash
// the server says what became of it.
#include <fmt/format.h>

#include "base/error.h"
#include "base/format.h"
#include "connector/postgres/connection.h"
#include "plan/expectation.h"
#include "plan/sql_values.h"
#include "plan/steps/steps.h"

namespace salvor::plan {
namespace {

using postgres::Connection;

constexpr const char* kTransaction = "transaction";

Connection connect(StepScene& scene) {
  const Secret secret = secret_setting(scene, "url");
  return {scene.context,
          {.target = std::string(secret.reveal()),
           .database = scene.settings.text("database"),
           .server = {}},
          postgres::ConnectionMode::kSql};
}

class SqlStep final : public Step {
 public:
  [[nodiscard]] const StepKind& kind() const override {
    static const StepKind kind{
        .name = "sql",
        .summary = "asks or changes a PostgreSQL database",
        .fields = {
            {.name = "query",
             .type = FieldType::kTextList,
             .help = "a statement, or several that are one transaction",
             .required = true},
            {.name = "values",
             .type = FieldType::kTextList,
             .help = "what stands for $1, $2 ... in a single select, insert, update or delete"},
            {.name = "url",
             .type = FieldType::kSecret,
             .help = "of the database",
             .default_text = "${target.url}"},
            {.name = "database", .help = "another than the URL's"},
            {.name = "expect",
             .help = "what the first value of the last result must be: a text, `!= 0`, `>= 10`, "
                     "`~ expression`"},
            {.name = "expect-rows", .help = "how many rows the last result must have"},
            {.name = "changes",
             .type = FieldType::kFlag,
             .help = "whether it changes something; without, it runs read-only",
             .default_text = "false"},
            {.name = "outputs",
             .type = FieldType::kTextList,
             .help = "columns of the last result's first row, for later steps"},
            in_drill_field()}};
    return kind;
  }
  [[nodiscard]] std::vector<std::string> outputs() const override { return {"value", "rows"}; }
  [[nodiscard]] std::string describe(const Settings& settings) const override {
    constexpr size_t kShown = 100;
    const auto queries = settings.list("query");
    return queries.empty() ? "sql" : printable(queries.front().substr(0, kShown));
  }
  void complete(Settings& settings, const TextMap&) const override {
    if (!settings.has("url")) {
      settings.set("url", std::string("${target.url}"));
    }
  }
  [[nodiscard]] std::vector<std::string> preflight(StepScene& scene) const override {
    if (!scene.settings.list("values").empty() && scene.settings.list("query").size() != 1) {
      return {"`values` are for one statement alone"};
    }
    const std::string url = scene.settings.text("url");
    if (url.find("${") != std::string::npos) {
      return {};
    }
    try {
      const Secret secret = scene.secrets.resolve(url);
      static_cast<void>(postgres::named_database(
          {.target = std::string(secret.reveal()), .database = {}, .server = {}}));
    } catch (const Error& error) {
      return {error.message()};
    }
    return {};
  }

  [[nodiscard]] ProbeAnswer probe(StepScene& scene) const override {
    if (!scene.settings.flag("changes", false)) {
      return {.state = Probed::kNotDone, .result = {}, .why = "it only reads"};
    }
    const std::string transaction = scene.note_of(kTransaction);
    if (transaction.empty()) {
      return {.state = Probed::kNotDone, .result = {}, .why = "it had not been committed"};
    }
    Connection connection = connect(scene);
    const auto status =
        connection
            .run(scene.context,
                 "select pg_xact_status(" + connection.quote_literal(transaction) + "::xid8)")
            .rows.at(0)
            .at(0);
    if (status == "committed") {
      return {.state = Probed::kDone,
              .result = {.summary = "transaction " + transaction + " had been committed",
                         .outputs = {},
                         .checks = {},
                         .facts = {}},
              .why = "the server says that it was committed"};
    }
    if (status == "aborted") {
      return {.state = Probed::kNotDone, .result = {}, .why = "the server says that it was undone"};
    }
    return {.state = Probed::kUnknown,
            .result = {},
            .why = "the server says of its transaction: " + status.value_or("nothing")};
  }

  [[nodiscard]] StepResult run(StepScene& scene) const override {
    const bool changes = scene.settings.flag("changes", false);
    std::vector<std::string> queries;
    for (const std::string& query : scene.raw.list("query")) {
      queries.push_back(expand(query, sql_values(scene)));
    }
    Connection connection = connect(scene);
    const auto begun = scene.context.clock.monotonic();
    if (!changes) {  // also after a `commit` among the statements
      connection.run(scene.context, "set session characteristics as transaction read only");
    }
    connection.run(scene.context, "begin");
    postgres::ResultSet last;
    for (const std::string& query : queries) {
      last = ask(scene, connection, query);
    }
    const std::chrono::duration<double> took = scene.context.clock.monotonic() - begun;
    StepResult result = result_of(scene, last, took.count());
    bool good = true;
    for (const CheckResult& check : result.checks) {
      good = good && check.passed;
    }
    if (!changes || !good) {
      connection.run(scene.context, "rollback");
      return result;
    }
    const auto transaction =
        connection.run(scene.context, "select pg_current_xact_id_if_assigned()");
    if (transaction.rows.at(0).at(0)) {
      scene.note(kTransaction, *transaction.rows[0][0]);
    }
    connection.run(scene.context, "commit");
    return result;
  }

 private:
  // `values` go where $1, $2 ... stand, whatever is in them.
  static postgres::ResultSet ask(StepScene& scene, Connection& connection,
                                 const std::string& query) {
    std::string values;
    for (const std::string& value : scene.settings.list("values")) {
      values += (values.empty() ? "(" : ", ") + connection.quote_literal(value);
    }
    if (values.empty()) {
      return connection.run_single(scene.context, query);
    }
    connection.run_single(scene.context, "prepare salvor_step as " + query);
    return connection.run_single(scene.context, "execute salvor_step" + values + ")");
  }

  StepResult result_of(StepScene& scene, const postgres::ResultSet& rows, double seconds) const {
    StepResult result;
    const bool has_value = !rows.rows.empty() && !rows.rows[0].empty();
    const std::string value = has_value ? rows.rows[0][0].value_or("") : "";
    result.outputs = {{"value", value}, {"rows", std::to_string(rows.rows.size())}};
    for (const std::string& name : scene.settings.list("outputs")) {
      bool found = false;
      for (size_t i = 0; has_value && i < rows.columns.size(); ++i) {
        if (rows.columns[i] == name) {
          result.outputs.emplace_back(name, rows.rows[0].at(i).value_or(""));
          found = true;
        }
      }
      if (!found) {
        throw Error(ErrorCode::kFailed,
                    "the result has no column " + printable(name) + " or no row");
      }
    }
    if (const std::string wanted = scene.settings.text("expect"); !wanted.empty()) {
      result.checks.push_back(
          check_value(describe(scene.raw), has_value ? value : "no row", wanted, seconds));
    }
    if (const std::string wanted = scene.settings.text("expect-rows"); !wanted.empty()) {
      result.checks.push_back(check_value("rows of " + describe(scene.raw),
                                          std::to_string(rows.rows.size()), wanted, seconds));
    }
    result.summary = has_value ? printable(scene.secrets.hide(value)) : rows.command;
    return result;
  }
};

}  // namespace

const Step& sql_step() {
  static const SqlStep step;
  return step;
}

}  // namespace salvor::plan
