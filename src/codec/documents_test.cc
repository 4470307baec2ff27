#include "codec/documents.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include "base/error.h"
#include "codec/go_json.h"
#include "support/test_data.h"

namespace salvor {
namespace {

template <class Decode>
void expect_damaged(Decode decode, std::string_view text) {
  try {
    (void)decode(as_bytes(text));
    ADD_FAILURE() << "accepted: " << text;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kDamaged) << error.what();
    EXPECT_THAT(error.message(), testing::HasSubstr(" is damaged: "));
  }
}

// Every text cut short must be refused, never misread.
template <class Decode>
void expect_truncations_refused(Decode decode, const std::string& text) {
  for (size_t length = 0; length < text.size(); ++length) {
    expect_damaged(decode, text.substr(0, length));
  }
}

const std::string kId = "b65d421ab7c81c77ca226fc1a3e9ce82782a8a09594765f4735e948d46594d0b";

TEST(Documents, ConfigOfARealRepository) {
  simdjson::dom::parser parser;
  const auto vectors = parser.load(test::test_data("crypto.json")).value();
  const std::string text(vectors["real_file"]["plaintext"].get_string().value());
  const RepositoryConfig config = decode_config(as_bytes(text));
  EXPECT_EQ(config.version, 2U);
  EXPECT_EQ(config.id, kId);
  EXPECT_EQ(config.chunker_polynomial, 0x3da3358b4dc173U);
  EXPECT_EQ(encode_config(config), text);
  expect_truncations_refused(decode_config, text);
}

TEST(Documents, ConfigAcceptsUpperCaseAndUnknownFields) {
  const auto config = decode_config(as_bytes(
      R"({"x":[{}],"chunker_polynomial":"3DA3358B4DC173","id":")" + kId + R"(","version":1})"));
  EXPECT_EQ(config.chunker_polynomial, 0x3da3358b4dc173U);
  EXPECT_EQ(config.version, 1U);
}

TEST(Documents, ConfigRefusals) {
  const auto with = [](std::string_view version, std::string_view id, std::string_view polynomial) {
    return "{\"version\":" + std::string(version) + ",\"id\":\"" + std::string(id) +
           "\",\"chunker_polynomial\":\"" + std::string(polynomial) + "\"}";
  };
  expect_damaged(decode_config, with("2", "../../etc", "3da3358b4dc173"));
  expect_damaged(decode_config, with("2", kId, ""));
  expect_damaged(decode_config, with("2", kId, "0x3da3358b4dc173"));
  expect_damaged(decode_config, with("2", kId, "3da3358b4dc1733da3"));
  expect_damaged(decode_config, with("2", kId, "-1"));
  for (const char* version : {"0", "3"}) {
    try {
      (void)decode_config(as_bytes(with(version, kId, "3da3358b4dc173")));
      ADD_FAILURE();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kFailed);
      EXPECT_FALSE(error.hint().empty());
    }
  }
}

std::string key_json(std::string_view kdf, std::string_view parameters, size_t salt_bytes) {
  return "{\"created\":\"2026-11-21T03:42:20.947261822Z\",\"username\":\"root\",\"hostname\":"
         "\"vm\",\"kdf\":\"" +
         std::string(kdf) + "\"," + std::string(parameters) + ",\"salt\":\"" +
         to_base64(as_bytes(std::string(salt_bytes, 's'))) + "\",\"data\":\"AAECAw==\"}";
}

TEST(Documents, KeyFile) {
  const std::string text = key_json("scrypt", "\"N\":32768,\"r\":8,\"p\":7", 64);
  const KeyDocument key = decode_key(as_bytes(text));
  EXPECT_EQ(key.kdf, (ScryptParameters{32768, 8, 7}));
  EXPECT_EQ(key.username, "root");
  EXPECT_EQ(key.salt.size(), 64U);
  EXPECT_EQ(to_hex(key.data.view()), "00010203");
  EXPECT_EQ(encode_key(key), text);
  expect_truncations_refused(decode_key, text);
}

TEST(Documents, KeyFileRefusals) {
  expect_damaged(decode_key, key_json("argon2", "\"N\":32768,\"r\":8,\"p\":7", 64));
  expect_damaged(decode_key, key_json("scrypt", "\"N\":32768,\"r\":8,\"p\":7", 63));
  for (const char* parameters :
       {"\"N\":32767,\"r\":8,\"p\":1", "\"N\":1,\"r\":8,\"p\":1", "\"N\":0,\"r\":8,\"p\":1",
        "\"N\":32768,\"r\":0,\"p\":1", "\"N\":32768,\"r\":8,\"p\":0", "\"N\":32768,\"r\":8",
        "\"N\":2147483648,\"r\":8,\"p\":1", "\"N\":1024,\"r\":65536,\"p\":65536"}) {
    expect_damaged(decode_key, key_json("scrypt", parameters, 64));
  }
}

TEST(Documents, MasterKey) {
  MasterKey key;
  key.encrypt.fill(std::byte{0xff});
  key.mac_k.fill(std::byte{0xfe});
  key.mac_r.fill(std::byte{0x01});
  const std::string text = encode_master_key(key);
  EXPECT_EQ(
      text,
      R"({"mac":{"k":"/v7+/v7+/v7+/v7+/v7+/g==","r":"AQEBAQEBAQEBAQEBAQEBAQ=="},"encrypt":"//////////////////////////////////////////8="})");
  const MasterKey again = decode_master_key(as_bytes(text));
  EXPECT_EQ(again.encrypt, key.encrypt);
  EXPECT_EQ(again.mac_k, key.mac_k);
  EXPECT_EQ(again.mac_r, key.mac_r);
  expect_truncations_refused(decode_master_key, text);
  expect_damaged(
      decode_master_key,
      R"({"mac":{"k":"/v7+/v7+/v7+/v7+/v7+/g=="},"encrypt":"//////////////////////////////////////////8="})");
  expect_damaged(
      decode_master_key,
      R"({"mac":{"k":"/v7+","r":"AQEBAQEBAQEBAQEBAQEBAQ=="},"encrypt":"//////////////////////////////////////////8="})");
}

TEST(Documents, Lock) {
  const std::string text =
      R"({"time":"2026-11-21T04:42:20.9+01:00","exclusive":true,"hostname":"v\u003cm","username":"u","pid":4711,"uid":1000,"gid":7})";
  const LockDocument lock = decode_lock(as_bytes(text));
  EXPECT_TRUE(lock.exclusive);
  EXPECT_EQ(lock.hostname, "v<m");
  EXPECT_EQ(lock.pid, 4711);
  EXPECT_EQ(lock.time.utc_offset_seconds, 3600);
  EXPECT_EQ(encode_lock(lock), text);
  expect_truncations_refused(decode_lock, text);
  const std::string root =
      R"({"time":"2026-11-21T04:42:20Z","exclusive":false,"hostname":"","username":"","pid":-1})";
  EXPECT_EQ(encode_lock(decode_lock(as_bytes(root))), root);
}

// restic 0.19.1
const std::string kSnapshot =
    R"({"time":"2026-11-21T03:42:21.426783095Z","parent":"c1d21ca4b7c81c77ca226fc1a3e9ce82782a8a09594765f4735e948d46594d0b","tree":"fdf9059dc767a821c3a95fce87ad9a4bb6e38a04c81662f05ef411cf2bae6376","paths":["/tmp/codec/src","/é"],"hostname":"vm","username":"root","uid":1,"gid":2,"excludes":["x*"],"tags":["a\b\u003cb","c"],"original":"a1d21ca4b7c81c77ca226fc1a3e9ce82782a8a09594765f4735e948d46594d0b","program_version":"restic 0.19.1","summary":{"backup_start":"2026-11-21T03:42:21.426783095Z","backup_end":"2026-11-21T03:42:22.117669098+05:30","files_new":1,"files_changed":2,"files_unmodified":3,"dirs_new":4,"dirs_changed":5,"dirs_unmodified":6,"data_blobs":7,"tree_blobs":8,"data_added":1723,"data_added_packed":1030,"total_files_processed":9,"total_bytes_processed":18446744073709551615}})";

TEST(Documents, SnapshotWithEverything) {
  const Snapshot snapshot = decode_snapshot(as_bytes(kSnapshot));
  EXPECT_EQ(snapshot.paths, (std::vector<std::string>{"/tmp/codec/src", "/é"}));
  EXPECT_EQ(snapshot.tags.at(0), "a\b<b");
  ASSERT_TRUE(snapshot.summary);
  EXPECT_EQ(snapshot.summary->dirs_unmodified, 6U);
  EXPECT_EQ(snapshot.summary->backup_end.utc_offset_seconds, 19800);
  EXPECT_EQ(encode_snapshot(snapshot), kSnapshot);
  expect_truncations_refused(decode_snapshot, kSnapshot);
}

TEST(Documents, SnapshotWithTheLeast) {
  const std::string text =
      R"({"time":"2026-01-01T00:00:00+01:00","tree":")" + kId + R"(","paths":["/a"]})";
  EXPECT_EQ(encode_snapshot(decode_snapshot(as_bytes(text))), text);
  const Snapshot bare = decode_snapshot(
      as_bytes(R"({"tree":")" + kId + R"(","parent":null,"paths":null,"private":{"a":[1]}})"));
  EXPECT_FALSE(bare.parent);
  EXPECT_TRUE(bare.paths.empty());
}

TEST(Documents, SnapshotRefusals) {
  for (const std::string& text :
       {std::string("{}"), std::string("{\"tree\":null}"), std::string("{\"tree\":\"00\"}"),
        R"({"tree":")" + kId + R"(","time":"yesterday"})",
        R"({"tree":")" + kId + R"(","paths":"x"})", R"({"tree":")" + kId + R"(","tags":[1]})",
        R"({"tree":")" + kId + R"(","uid":4294967296})",
        R"({"tree":")" + kId + R"(","summary":[]})",
        R"({"tree":")" + kId + R"(","hostname":"\ud8"})", R"({"tree":")" + kId + R"("}{)"}) {
    expect_damaged(decode_snapshot, text);
  }
}

TEST(Documents, EscapesAreUndoneAsGoDoes) {
  const auto host = [](std::string_view escaped) {
    return decode_snapshot(
               as_bytes("{\"tree\":\"" + kId + "\",\"hostname\":\"" + std::string(escaped) + "\"}"))
        .hostname;
  };
  EXPECT_EQ(host(R"(\"\\\/\b\f\n\r\t)"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(host(R"(\u00e9\ud83d\ude00x)"), "é😀x");
  EXPECT_EQ(host(R"(\ud83d)"), "\ufffd");
  EXPECT_EQ(host(R"(\ud83d\u0041\ude00)"), "\ufffdA\ufffd");
  EXPECT_EQ(host(R"(\ud83d\ud83d\ude00)"), "\ufffd😀");
}

}  // namespace
}  // namespace salvor
