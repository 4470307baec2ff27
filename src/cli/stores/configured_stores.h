// The sources of a configuration as Stores.
#pragma once

#include "cli/stores/store_site.h"

namespace salvor::cli {

// `site` and what it refers to must outlive it and the stores that it opens.
class ConfiguredStores final : public Stores {
 public:
  explicit ConfiguredStores(const StoreSite& site) : site_(site) {}
  [[nodiscard]] std::unique_ptr<Store> open(const std::string& source) override;

 private:
  const StoreSite& site_;
};

}  // namespace salvor::cli
