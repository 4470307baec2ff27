#include "repo/key_store.h"

#include <algorithm>

#include "crypto/scrypt.h"
#include "crypto/seal.h"
#include "crypto/sha256.h"

namespace salvor {
namespace {

constexpr uint64_t kKeyFileLimit = uint64_t{1} << 20;
constexpr size_t kSaltSize = 64;
constexpr size_t kUserKeySize = 64;

ObjectName key_object(const std::string& name) {
  return {ObjectKind::kKey, name};
}

std::string display(const std::string& name) {
  return "key file " + name.substr(0, 8);
}

MasterKey derive_user_key(const Secret& password, const KeyDocument& key, unsigned threads) {
  std::array<std::byte, kUserKeySize> derived{};
  scrypt(as_bytes(password.reveal()), key.salt.view(), key.kdf, derived, threads);
  MasterKey user;
  std::memcpy(user.encrypt.data(), derived.data(), 32);
  std::memcpy(user.mac_k.data(), derived.data() + 32, 16);
  std::memcpy(user.mac_r.data(), derived.data() + 48, 16);
  wipe(derived.data(), derived.size());
  return user;
}

StoredKey load_key(const Context& context, Storage& storage, const std::string& name) {
  Buffer json = storage.get(context, key_object(name), kKeyFileLimit);
  if (to_hex(sha256(json.view())) != name) {
    // Changed on the way, perhaps.
    json = storage.get(context, key_object(name), kKeyFileLimit);
  }
  const KeyId id(sha256(json.view()));
  if (id.hex() != name) {
    throw Error(ErrorCode::kDamaged, display(name) + " does not match its name",
                "It was changed or truncated after it was written. Restore it from a copy of the "
                "repository, or remove it if another key file still opens the repository.");
  }
  try {
    return {id, decode_key(json.view())};
  } catch (Error& error) {
    error.within(display(name));
    throw;
  }
}

// Nothing when the password does not fit.
std::optional<MasterKey> unlock(const Secret& password, const KeyDocument& key, Random& random,
                                unsigned threads) {
  const MasterKey user = derive_user_key(password, key, threads);
  Sealer sealer(user, random);
  std::optional<Buffer> plain = sealer.unseal(key.data.view());
  if (!plain) {
    return std::nullopt;
  }
  const WipedAtExit wiped(plain->data(), plain->size());
  return decode_master_key(plain->view());
}

std::optional<OpenedKey> try_key(const Context& context, Storage& storage, const Secret& password,
                                 const std::string& name, unsigned threads) {
  const StoredKey key = load_key(context, storage, name);
  try {
    const std::optional<MasterKey> master = unlock(password, key.document, context.random, threads);
    return master ? std::optional<OpenedKey>({key.id, *master}) : std::nullopt;
  } catch (Error& error) {
    error.within(display(name));
    throw;
  }
}

std::vector<std::string> key_names(const Context& context, Storage& storage,
                                   const std::string& hint) {
  std::vector<std::string> names;
  storage.list(context, ObjectKind::kKey,
               [&](const ObjectInfo& info) { names.push_back(info.name); });
  std::sort(names.begin(), names.end());
  if (!hint.empty()) {
    std::stable_partition(names.begin(), names.end(),
                          [&](const std::string& name) { return name.starts_with(hint); });
  }
  return names;
}

}  // namespace

OpenedKey open_key(const Context& context, Storage& storage, const Secret& password,
                   const std::string& hint, unsigned threads) {
  const std::vector<std::string> names = key_names(context, storage, hint);
  if (names.empty()) {
    throw Error(
        ErrorCode::kNoRepository, "the repository has no key files",
        "Without a key file the data cannot be decrypted. Restore the keys directory from a "
        "copy of the repository.");
  }
  std::optional<Error> damaged;
  size_t tried = 0;
  for (const std::string& name : names) {
    if (tried++ == kKeyFilesTried) {
      throw Error(ErrorCode::kWrongPassword,
                  "no key found: the password does not open any of the first " +
                      std::to_string(kKeyFilesTried) + " key files",
                  "Name the key file with --key-hint.");
    }
    context.check_stopped();
    try {
      if (std::optional<OpenedKey> opened = try_key(context, storage, password, name, threads)) {
        return *opened;
      }
    } catch (const Error& error) {
      // One bad key file must not keep people out whose own key is good.
      if (error.code() != ErrorCode::kDamaged && error.code() != ErrorCode::kNotFound) {
        throw;
      }
      context.events.on(Warning{error.message(), error.hint()});
      damaged = error;
    }
  }
  if (damaged && tried == 1) {
    throw *damaged;
  }
  throw Error(
      ErrorCode::kWrongPassword, "wrong password or no key found",
      "Check the password and that this is the repository you meant. `salvor key list` shows "
      "its keys to whoever has one of the passwords.");
}

KeyId add_key(const Context& context, Storage& storage, const MasterKey& master_key,
              const Secret& password, const NewKey& key) {
  KeyDocument document;
  LocalZone zone;
  document.created = zone.stamp(context.clock.now());
  document.username = key.username;
  document.hostname = key.hostname;
  document.kdf = key.kdf ? *key.kdf : calibrated_scrypt_parameters();
  document.salt.resize(kSaltSize);
  context.random.fill(document.salt.bytes());

  const unsigned threads = 2;
  {
    const MasterKey user = derive_user_key(password, document, threads);
    Sealer sealer(user, context.random);
    std::string json = encode_master_key(master_key);
    document.data = sealer.seal(as_bytes(json));
    wipe(json.data(), json.size());
  }
  const std::string encoded = encode_key(document);
  const std::optional<MasterKey> reopened =
      unlock(password, decode_key(as_bytes(encoded)), context.random, threads);
  if (!reopened || reopened->encrypt != master_key.encrypt || reopened->mac_k != master_key.mac_k ||
      reopened->mac_r != master_key.mac_r) {
    throw Error(ErrorCode::kFailed, "the new key file does not open again",
                "This points to faulty memory or a bug. Nothing was stored.");
  }
  const KeyId id(sha256(as_bytes(encoded)));
  storage.put(context, key_object(id.hex()), as_bytes(encoded));
  return id;
}

std::vector<StoredKey> list_keys(const Context& context, Storage& storage) {
  std::vector<StoredKey> keys;
  for (const std::string& name : key_names(context, storage, {})) {
    try {
      keys.push_back(load_key(context, storage, name));
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled) {
        throw;
      }
      context.events.on(ItemFailed{"read", "key " + name, error.message(), error.hint()});
    }
  }
  return keys;
}

void remove_key(const Context& context, Storage& storage, const KeyId& id) {
  storage.remove(context, key_object(id.hex()));
}

}  // namespace salvor
