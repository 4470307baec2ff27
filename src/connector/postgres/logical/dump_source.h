// A database as a Source: a logical backup, made over ordinary connections.
//
// One exported snapshot is shared by all connections; pg_dump writes the schema in the same
// snapshot. Rows are stored table by table as COPY writes them, in physical order (cheap, and what
// has not moved stays where it was) or in the order of the primary key, in parts of a fixed number
// of pages: so the next backup finds most of it stored already. Layout: dump_manifest.h.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "connector/postgres/logical/catalog.h"
#include "connector/postgres/logical/dump_manifest.h"
#include "connector/postgres/logical/snapshot_session.h"
#include "connector/source.h"

namespace salvor::postgres {

enum class RolesChoice : uint8_t { kNone, kWithoutPasswords, kWithPasswords };

struct DumpOptions {
  SnapshotSessionOptions session;
  TableChoice choice;
  std::string name;             // of the server, in the snapshot's path; empty: its host
  std::string client_programs;  // folder of pg_dump; empty: looked for
  bool schema = true;
  bool large_objects = true;
  RolesChoice roles = RolesChoice::kWithoutPasswords;
  bool order_by_key = false;
  uint64_t part_bytes = uint64_t{256} << 20;  // of a table, on the server
  Timestamp time;                             // of the nodes
  uint32_t uid = 0;
  uint32_t gid = 0;
};

class DumpSource final : public Source {
 public:
  // Connects, takes the snapshot, reads the catalog, checks every right that it will need and locks
  // the tables (ACCESS SHARE, as SELECT does). Throws what stands in the way.
  DumpSource(const Context& context, DumpOptions options);
  ~DumpSource() override;

  [[nodiscard]] std::vector<std::string> paths() const override;
  [[nodiscard]] std::vector<std::string> tags() const override;
  void stream_into(const Context& context, TreeSink& sink) override;
  void finish(const Context& context) override;

  [[nodiscard]] std::string display() const;  // "shop at db.example.com:5432"
  [[nodiscard]] size_t table_count() const;
  [[nodiscard]] uint64_t estimated_bytes() const;
  [[nodiscard]] const DumpManifest& manifest() const;  // complete after finish

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Tags of a logical backup: "postgresql-dump", "pg:database=shop", "pg:version=15.18",
// "pg:time=2026-11-21T08:00:00.123456Z" (the instant that it shows, by the server's clock).
inline constexpr const char* kDumpTag = "postgresql-dump";
inline constexpr const char* kDumpTimeTag = "pg:time=";

// "/postgresql-dump/db.example.com/shop"
[[nodiscard]] std::string dump_path(const std::string& server, const std::string& database);

}  // namespace salvor::postgres
