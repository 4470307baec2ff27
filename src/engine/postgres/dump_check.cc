#include "engine/postgres/dump_check.h"

#include <unordered_map>

#include <fmt/format.h>

#include "base/format.h"
#include "engine/reading/tree_walk.h"

namespace salvor {

std::string check_dump(const Context& context, const Repository& repository, const DumpView& dump) {
  std::unordered_map<std::string, uint64_t> sizes;
  BlobReader reader(repository);
  walk_tree(context, reader, dump.stored().snapshot.tree, "",
            [&sizes](const NodePlace& place, const Node& node) {
              if (node.type == NodeType::kFile) {
                sizes.emplace(place.path, node.size);
              }
              return Descend::kYes;
            });
  uint64_t rows = 0;
  uint64_t files = 0;
  for (const postgres::DumpTable& table : dump.manifest().tables) {
    uint64_t in_parts = 0;
    for (const postgres::DumpPart& part : table.parts) {
      const std::string path = DumpView::part_path(table, part);
      const auto found = sizes.find(path);
      if (found == sizes.end() || found->second != part.bytes) {
        throw Error(ErrorCode::kDamaged, "the backup lacks " + printable(path) + " of table " +
                                             printable(table.display()));
      }
      in_parts += part.rows;
      ++files;
    }
    if (in_parts != table.rows) {
      throw Error(ErrorCode::kDamaged,
                  fmt::format("table {} has {} rows in its files and {} in all",
                              printable(table.display()), in_parts, table.rows));
    }
    rows += table.rows;
  }
  return fmt::format("{} tables, {} rows, {} files", dump.manifest().tables.size(), rows, files);
}

}  // namespace salvor
