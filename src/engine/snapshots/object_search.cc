#include "engine/snapshots/object_search.h"

#include <algorithm>
#include <cctype>

#include "base/format.h"
#include "engine/reading/pack_reader.h"
#include "engine/reading/tree_walk.h"

namespace salvor {

namespace {

std::string checked_prefix(const std::string& id) {
  std::string digits = id;
  std::transform(digits.begin(), digits.end(), digits.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const bool hexadecimal = digits.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!hexadecimal || digits.size() < ObjectSearch::kShortestPrefix || digits.size() > 64) {
    throw Error(ErrorCode::kUsage, "\"" + printable(id) + "\" is not an id",
                "Give 8 to 64 hexadecimal digits, as `salvor list` and `salvor check` print them.");
  }
  return digits;
}

bool names(const std::string& prefix, const std::string& hex) {
  return hex.starts_with(prefix);
}

}  // namespace

void ObjectSearch::add_blobs(BlobType type, const std::vector<std::string>& ids) {
  for (const std::string& id : ids) {
    const std::string prefix = checked_prefix(id);
    if (const auto whole = BlobId::parse(prefix)) {
      wanted_.insert({type, *whole});
    } else {
      prefixes_.emplace_back(type, prefix);
    }
  }
}

std::vector<PackId> ObjectSearch::add_packs(const Context& context,
                                            const std::vector<std::string>& ids) {
  std::vector<std::string> missing;
  for (const std::string& id : ids) {
    missing.push_back(checked_prefix(id));
  }
  const std::vector<std::string> prefixes = missing;
  const auto asked = [&](const std::string& hex) {
    std::erase_if(missing, [&](const std::string& prefix) { return names(prefix, hex); });
    return std::any_of(prefixes.begin(), prefixes.end(),
                       [&](const std::string& prefix) { return names(prefix, hex); });
  };

  std::set<PackId> unreadable;
  std::set<PackId> read;
  for (const ObjectInfo& info : repository_.storage().list_all(context, ObjectKind::kPack)) {
    if (!asked(info.name)) {
      continue;
    }
    const PackId pack = *PackId::parse(info.name);
    try {
      for (const PackedBlob& blob : read_pack_header(context, repository_, pack, info.size_bytes)) {
        wanted_.insert(blob.handle);
      }
      read.insert(pack);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kDamaged && error.code() != ErrorCode::kNotFound) {
        throw;
      }
    }
  }
  repository_.index().for_each([&](const PackId& pack, const PackedBlob& blob) {
    if (!read.contains(pack) && asked(pack.hex())) {
      wanted_.insert(blob.handle);
      unreadable.insert(pack);
    }
  });
  if (!missing.empty()) {
    std::string list;
    for (const std::string& prefix : missing) {
      list += (list.empty() ? "" : ", ") + prefix;
    }
    throw Error(ErrorCode::kNotFound, "no such pack: " + list,
                "`salvor list packs` prints the names of all.");
  }
  return {unreadable.begin(), unreadable.end()};
}

bool ObjectSearch::wants(const BlobHandle& handle) {
  if (wanted_.contains(handle)) {
    return true;
  }
  const std::string hex = prefixes_.empty() ? std::string() : handle.id.hex();
  for (const auto& [type, prefix] : prefixes_) {
    if (type == handle.type && names(prefix, hex)) {
      wanted_.insert(handle);
      return true;
    }
  }
  return false;
}

void ObjectSearch::run(
    const Context& context, BlobReader& reader, const Snapshot& snapshot,
    const std::function<void(const ObjectUse&)>& on_use,
    const std::function<void(const std::string& path, const Error&)>& on_unreadable) {
  const auto look_at_tree = [&](const BlobId& tree, const std::string& path) {
    const BlobHandle handle{BlobType::kTree, tree};
    if (wants(handle)) {
      on_use({handle, path, std::nullopt});
    }
  };
  look_at_tree(snapshot.tree, "/");
  walk_tree(
      context, reader, snapshot.tree, "",
      [&](const NodePlace& place, const Node& node) {
        if (node.type == NodeType::kDir && node.subtree) {
          look_at_tree(*node.subtree, place.path);
        }
        for (const BlobId& id : node.content) {
          const BlobHandle handle{BlobType::kData, id};
          if (wants(handle)) {
            on_use({handle, place.path, place.tree});
          }
        }
        return Descend::kYes;
      },
      on_unreadable);
}

}  // namespace salvor
