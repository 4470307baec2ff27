// Key files: passwords that open the master key (restic format, section 2.1).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/secret.h"
#include "codec/documents.h"
#include "storage/storage.h"

namespace salvor {

inline constexpr size_t kKeyFilesTried = 20;

struct StoredKey {
  KeyId id;
  KeyDocument document;
};

struct OpenedKey {
  KeyId id;
  MasterKey master_key;
};

struct NewKey {
  std::string username;
  std::string hostname;
  std::optional<ScryptParameters> kdf;  // else calibrated
};

// Tries every key file (at most kKeyFilesTried, those matching `hint` first). Throws
// Error{kWrongPassword} when none opens, Error{kDamaged} for a key file that is not one,
// Error{kNoRepository} when there is none.
[[nodiscard]] OpenedKey open_key(const Context& context, Storage& storage, const Secret& password,
                                 const std::string& hint, unsigned threads);
// Adds a key file for `password`; it is opened again and compared before this returns. Durable on
// return.
KeyId add_key(const Context& context, Storage& storage, const MasterKey& master_key,
              const Secret& password, const NewKey& key);
[[nodiscard]] std::vector<StoredKey> list_keys(const Context& context, Storage& storage);
void remove_key(const Context& context, Storage& storage, const KeyId& id);

}  // namespace salvor
