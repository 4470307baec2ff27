#include "repo/key_store.h"

#include <algorithm>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/scrypt.h"
#include "crypto/seal.h"
#include "crypto/sha256.h"
#include "storage/memory_storage.h"
#include "support/errors.h"
#include "support/test_context.h"

namespace salvor {
namespace {

using testing::HasSubstr;

class KeyStoreTest : public testing::Test {
 protected:
  std::string add(const std::string& password) {
    return add_key(context_, *storage_, master_, Secret(password),
                   {.username = "me", .hostname = "here", .kdf = kCheap})
        .hex();
  }
  // A key file under the right name, whatever it holds.
  std::string put(const std::string& content) {
    const std::string name = to_hex(sha256(as_bytes(content)));
    storage_->put(context_, {ObjectKind::kKey, name}, as_bytes(content));
    return name;
  }
  // A key file for `password` that holds `json` where the master key belongs.
  std::string put_holding(const std::string& password, const std::string& json) {
    KeyDocument document;
    document.kdf = kCheap;
    document.salt = Buffer::copy_of(as_bytes(std::string(64, 's')));
    std::array<std::byte, 64> derived{};
    scrypt(as_bytes(password), document.salt.view(), document.kdf, derived, 1);
    MasterKey user;
    std::memcpy(user.encrypt.data(), derived.data(), 32);
    std::memcpy(user.mac_k.data(), derived.data() + 32, 16);
    std::memcpy(user.mac_r.data(), derived.data() + 48, 16);
    document.data = Sealer(user, context_.random).seal(as_bytes(json));
    return put(encode_key(document));
  }
  OpenedKey open(const std::string& password, const std::string& hint = {}) {
    return open_key(context_, *storage_, Secret(password), hint, 1);
  }
  Error refused(const std::string& password) {
    return test::error_of([&] { open(password); });
  }
  template <typename T>
  std::vector<T> told() {
    std::vector<T> found;
    for (const Event& event : test_.events.events()) {
      if (const T* one = std::get_if<T>(&event)) {
        found.push_back(*one);
      }
    }
    return found;
  }

  static constexpr ScryptParameters kCheap{16, 1, 1};
  test::TestContext test_;
  const Context context_ = *test_;
  const std::unique_ptr<Storage> storage_ = make_memory_storage();
  const MasterKey master_ = MasterKey::random(context_.random);
};

TEST_F(KeyStoreTest, EveryPasswordOpensTheSameMasterKey) {
  const std::string first = add("one");
  const std::string second = add("two");
  EXPECT_EQ(open("one").id.hex(), first);
  EXPECT_EQ(open("two").id.hex(), second);
  EXPECT_EQ(open("two").master_key.encrypt, master_.encrypt);
  EXPECT_EQ(refused("three").code(), ErrorCode::kWrongPassword);
  remove_key(context_, *storage_, open("one").id);
  EXPECT_EQ(refused("one").code(), ErrorCode::kWrongPassword);
  EXPECT_EQ(list_keys(context_, *storage_).size(), 1U);
}

TEST_F(KeyStoreTest, WithoutKeyFilesThereIsNoRepository) {
  EXPECT_EQ(refused("one").code(), ErrorCode::kNoRepository);
}

TEST_F(KeyStoreTest, OneBadKeyFileKeepsNobodyOut) {
  const std::string good = add("one");
  const std::string flipped = add("two");
  Buffer bytes = storage_->get(context_, {ObjectKind::kKey, flipped});
  bytes.data()[10] ^= std::byte{1};
  storage_->remove(context_, {ObjectKind::kKey, flipped});
  storage_->put(context_, {ObjectKind::kKey, flipped}, bytes.view());
  put("{");
  // Bad ones first, whatever the order of their names.
  for (const std::string& hint : {flipped, std::string(), good}) {
    EXPECT_EQ(open("one", hint).id.hex(), good);
  }
  std::vector<std::string> messages;
  for (const Warning& warning : told<Warning>()) {
    messages.push_back(warning.message);
  }
  EXPECT_THAT(messages,
              testing::Contains("key file " + flipped.substr(0, 8) + " does not match its name"));
  // To whoever has none of the good ones, all of it is a wrong password.
  EXPECT_EQ(refused("two").code(), ErrorCode::kWrongPassword);
  // Listed are the good ones; the others are named.
  EXPECT_EQ(list_keys(context_, *storage_).size(), 1U);
  EXPECT_EQ(told<ItemFailed>().size(), 2U);
}

TEST_F(KeyStoreTest, TheOnlyKeyFileIsSaidToBeDamaged) {
  const std::string salt = "\"" + std::string(86, 'A') + "==\"";
  for (const auto& [content, message] : std::vector<std::pair<std::string, std::string>>{
           {"{", "key file"},
           {"[]", "key file"},
           {R"({"kdf":"scrypt","N":3,"r":8,"p":1,"salt":)" + salt + R"(,"data":"AAAA"})",
            "scrypt parameters out of range"},
           {R"({"kdf":"scrypt","N":1073741824,"r":8,"p":1,"salt":)" + salt + R"(,"data":"AAAA"})",
            "scrypt parameters out of range"},
           {R"({"kdf":"scrypt","N":16,"r":1,"p":1,"salt":"AAAA","data":"AAAA"})", "salt"},
           {R"({"kdf":"argon2","N":16,"r":1,"p":1,"salt":)" + salt + R"(,"data":"AAAA"})",
            "unknown key derivation"},
       }) {
    const std::string name = put(content);
    const Error error = refused("one");
    EXPECT_EQ(error.code(), ErrorCode::kDamaged) << content;
    EXPECT_THAT(error.message(), HasSubstr(message)) << content;
    EXPECT_THAT(error.message(), HasSubstr(name.substr(0, 8))) << content;
    storage_->remove(context_, {ObjectKind::kKey, name});
  }
}

TEST_F(KeyStoreTest, WhatAPasswordOpensMustBeAMasterKey) {
  const MasterKey none;  // all zeros encrypts nothing
  for (const std::string& json :
       {std::string("not JSON"), std::string("{}"), encode_master_key(none)}) {
    const std::string name = put_holding("one", json);
    EXPECT_EQ(refused("one").code(), ErrorCode::kDamaged) << json;
    EXPECT_EQ(refused("two").code(), ErrorCode::kWrongPassword);
    storage_->remove(context_, {ObjectKind::kKey, name});
  }
  put_holding("one", encode_master_key(master_));
  EXPECT_EQ(open("one").master_key.encrypt, master_.encrypt);
}

TEST_F(KeyStoreTest, NoMoreThanTwentyAreTriedUnlessOneIsNamed) {
  for (size_t i = 0; i < kKeyFilesTried + 5; ++i) {
    add("other");
  }
  std::string mine;
  do {  // one whose turn does not come
    if (!mine.empty()) {
      storage_->remove(context_, {ObjectKind::kKey, mine});
    }
    mine = add("mine");
  } while (static_cast<size_t>(std::ranges::count_if(
               storage_->list_all(context_, ObjectKind::kKey),
               [&](const ObjectInfo& info) { return info.name < mine; })) < kKeyFilesTried);
  const Error error = refused("mine");
  EXPECT_EQ(error.code(), ErrorCode::kWrongPassword);
  EXPECT_THAT(error.message(), HasSubstr("any of the first 20 key files"));
  EXPECT_THAT(error.hint(), HasSubstr("--key-hint"));
  EXPECT_EQ(open("mine", mine.substr(0, 12)).id.hex(), mine);
}

TEST_F(KeyStoreTest, AStorageThatFailsIsNoWrongPassword) {
  add("one");
  test_.stop.request_stop();
  EXPECT_EQ(refused("one").code(), ErrorCode::kCancelled);
}

}  // namespace
}  // namespace salvor
