#include "perdure/kv.h"

#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "native/native_testing.h"

namespace perdure::native::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

template <typename... T>
constexpr bool kTakesAll = (std::is_constructible_v<KvValue, T> && ...);
template <typename... T>
constexpr bool kTakesAny = (std::is_constructible_v<KvValue, T> || ...);
static_assert(kTakesAll<bool, std::int8_t, std::uint8_t, short, unsigned, long, long long,
                        unsigned long long, float, double, const char*, std::string>);
static_assert(!kTakesAny<char, wchar_t, char8_t, char16_t, char32_t>,
              "a character is no number: a program is told so where it says it");

// Each test with both kinds of storage.
class KvTest : public NativeTest, public ::testing::WithParamInterface<StorageKind> {
 protected:
  KvTest()
      : storage_(GetParam() == StorageKind::kSqlite ? create("a") : create_keyed("a")),
        kv_(storage_.kv()) {}

  std::vector<std::string> keys(KvListOptions options = {}) {
    std::vector<std::string> found;
    KvCursor cursor = kv_.list(std::move(options));
    while (const auto pair = cursor.next()) found.push_back(pair->key);
    return found;
  }

  Storage storage_;
  Kv& kv_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, KvTest,
                         ::testing::Values(StorageKind::kSqlite, StorageKind::kKeyValue),
                         [](const auto& kind) {
                           return kind.param == StorageKind::kSqlite ? "Sqlite" : "KeyValue";
                         });

TEST_P(KvTest, PutsAndGetsWhatJsonHas) {
  kv_.put("null", nullptr);
  kv_.put("bool", true);
  kv_.put("integer", -12);
  kv_.put("large", std::int64_t{1} << 53);
  kv_.put("unsigned", std::uint64_t{1} << 53);
  kv_.put("low", -(std::int64_t{1} << 53));
  kv_.put("number", 0.1);
  kv_.put("text", "a \"quoted\" \xc3\xa4\n");
  kv_.put("json", KvValue::json(R"({"a": [1, 2.5, null]})"));
  EXPECT_TRUE(kv_.get("null")->is_null());
  EXPECT_TRUE(kv_.get("bool")->as_bool());
  EXPECT_EQ(kv_.get("integer")->as_integer(), -12);
  EXPECT_EQ(kv_.get("large")->as_integer(), std::int64_t{1} << 53);
  EXPECT_EQ(kv_.get("unsigned")->as_integer(), std::int64_t{1} << 53);
  EXPECT_EQ(kv_.get("low")->as_integer(), -(std::int64_t{1} << 53));
  EXPECT_EQ(kv_.get("number")->as_number(), 0.1);
  EXPECT_EQ(kv_.get("text")->as_string(), "a \"quoted\" \xc3\xa4\n");
  EXPECT_EQ(kv_.get("text")->json(), "\"a \\\"quoted\\\" \xc3\xa4\\n\"");
  EXPECT_EQ(kv_.get("json")->json(), R"({"a": [1, 2.5, null]})");
  EXPECT_FALSE(kv_.get("none").has_value());
}

TEST_P(KvTest, StructuredClonesAreHandedOutAndNamed) {
  const Blob clone = {std::byte{0xff}, std::byte{0x0f}, std::byte{'_'}};
  kv_.put("clone", KvValue::structured_clone(clone));
  const auto value = kv_.get("clone");
  ASSERT_TRUE(value);
  EXPECT_EQ(value->format(), KvValue::Format::kStructuredClone);
  EXPECT_EQ(value->bytes(), "\xff\x0f_");
  const std::string message =
      "The value is a structured clone, which only JavaScript can read: it has something in it "
      "that "
      "JSON cannot say.";
  EXPECT_EQ(message_of([&] { static_cast<void>(value->json()); }), message);
  EXPECT_EQ(message_of([&] { static_cast<void>(value->as_integer()); }), message);
  EXPECT_FALSE(value->is_null());
  kv_.put("copy", *value);
  EXPECT_EQ(kv_.get("copy"), value);
  EXPECT_EQ(code_of([] { static_cast<void>(KvValue::structured_clone(Blob{std::byte{1}})); }),
            ErrorCode::kInvalid);
  EXPECT_EQ(code_of([] { static_cast<void>(KvValue::structured_clone({})); }), ErrorCode::kInvalid);
}

TEST_P(KvTest, Removes) {
  kv_.put("a", 1);
  EXPECT_TRUE(kv_.remove("a"));
  EXPECT_FALSE(kv_.remove("a"));
  EXPECT_FALSE(kv_.get("a"));
}

TEST_P(KvTest, Lists) {
  for (const char* key : {"a", "b1", "b2", "b3", "c"}) kv_.put(key, key);
  EXPECT_THAT(keys(), ElementsAre("a", "b1", "b2", "b3", "c"));
  EXPECT_THAT(keys({.prefix = "b"}), ElementsAre("b1", "b2", "b3"));
  EXPECT_THAT(keys({.prefix = "b", .reverse = true}), ElementsAre("b3", "b2", "b1"));
  EXPECT_THAT(keys({.start = "b1", .end = "b3"}), ElementsAre("b1", "b2"));
  EXPECT_THAT(keys({.start_after = "b1", .limit = 2}), ElementsAre("b2", "b3"));
  EXPECT_THAT(keys({.limit = 0}), IsEmpty());
  EXPECT_EQ(message_of([&] { keys({.start = "a", .start_after = "a"}); }),
            "A list begins at `start` or after `start_after`, not at both.");
}

TEST_P(KvTest, ListsMoreThanABatchWhileTheStorageIsUsed) {
  for (int i = 0; i < 300; ++i) kv_.put("k" + std::to_string(1000 + i), i);
  for (const bool reverse : {false, true}) {
    KvCursor cursor = kv_.list({.limit = 290, .reverse = reverse});
    int count = 0;
    while (const auto pair = cursor.next()) {
      const int expected = reverse ? 299 - count : count;
      EXPECT_EQ(pair->value.as_integer(), expected);
      kv_.put(pair->key, expected);
      ++count;
    }
    EXPECT_EQ(count, 290);
    EXPECT_FALSE(cursor.next()) << "the end stays the end";
  }
}

TEST_P(KvTest, RefusesWhatJavaScriptCouldNotRead) {
  const auto past = [](const std::string& integer) {
    return "The integer " + integer +
           " is past 2^53: it is no exact number in JavaScript. Put it as text.";
  };
  // As a double it would be 2^53.
  EXPECT_EQ(message_of([&] { kv_.put("a", (std::int64_t{1} << 53) + 1); }),
            past("9007199254740993"));
  EXPECT_EQ(message_of([&] { kv_.put("a", -(std::int64_t{1} << 53) - 1); }),
            past("-9007199254740993"));
  EXPECT_EQ(message_of([&] { kv_.put("a", (std::uint64_t{1} << 53) + 1); }),
            past("9007199254740993"));
  EXPECT_EQ(message_of([&] { kv_.put("a", std::numeric_limits<std::uint64_t>::max()); }),
            past("18446744073709551615"));
  EXPECT_EQ(message_of([&] { kv_.put("a", std::numeric_limits<std::int64_t>::min()); }),
            past("-9223372036854775808"));
  EXPECT_EQ(code_of([&] { kv_.put("a", std::numeric_limits<std::uint64_t>::max()); }),
            ErrorCode::kInvalid);
  EXPECT_EQ(message_of([&] { kv_.put("a", std::nan("")); }),
            "JSON has no number that is infinite or not a number.");
  EXPECT_EQ(message_of([&] { kv_.put("a", "\xff"); }), "The text is not UTF-8.");
  EXPECT_EQ(message_of([&] { kv_.put("a\xff", 1); }), "The key is not UTF-8.");
  kv_.put("\xc3\xa4", 1);
  EXPECT_EQ(message_of([&] { kv_.put("a", KvValue::json("{")); }),
            "This is not JSON: incomplete JSON.");
  for (const char* wrong : {"", "{'a': 1}", "[1,]", "1 2", "NaN", "\"\xff\"", "nul"})
    EXPECT_EQ(code_of([&] { static_cast<void>(KvValue::json(wrong)); }), ErrorCode::kInvalid)
        << wrong;
  EXPECT_EQ(KvValue::json(std::string(400, '[') + std::string(400, ']')).json().size(), 800u);
  EXPECT_EQ(code_of([] {
              static_cast<void>(KvValue::json(std::string(600, '[') + std::string(600, ']')));
            }),
            ErrorCode::kInvalid);
  EXPECT_FALSE(kv_.get("a")) << "nothing was written";
}

TEST_P(KvTest, SaysWhatAValueIsInstead) {
  kv_.put("text", "x");
  kv_.put("fraction", 1.5);
  kv_.put("object", KvValue::json("{}"));
  EXPECT_EQ(message_of([&] { static_cast<void>(kv_.get("text")->as_integer()); }),
            "The value is not an integer: \"x\"");
  EXPECT_EQ(message_of([&] { static_cast<void>(kv_.get("fraction")->as_integer()); }),
            "The value is not an integer up to 2^53: 1.5");
  EXPECT_EQ(message_of([&] { static_cast<void>(kv_.get("object")->as_string()); }),
            "The value is not a string that UTF-8 can say: {}");
  EXPECT_EQ(message_of([&] { static_cast<void>(kv_.get("object")->as_bool()); }),
            "The value is not true or false: {}");
}

TEST_P(KvTest, HasTheLimitsOfTheStorage) {
  kv_.put(std::string(2048, 'k'), 1);
  EXPECT_EQ(message_of([&] { kv_.put(std::string(2049, 'k'), 1); }),
            "Keys cannot be larger than 2048 bytes. A key of size 2049 was provided.");
  const std::string large((2 << 20) + 10, 'x');
  EXPECT_EQ(
      message_of([&] { kv_.put("a", large); }),
      GetParam() == StorageKind::kSqlite
          ? "Values cannot be larger than 2097152 bytes together with their key. A pair of "
            "size 2097165 was provided."
          : "Values cannot be larger than 131072 bytes. A value of size 2097164 was provided.");
}

TEST_P(KvTest, WritesCommitByThemselvesOrWithTheTransaction) {
  kv_.put("a", 1);
  storage_.sync();
  {
    Transaction transaction = storage_.begin();
    kv_.put("a", 2);
    kv_.put("b", 2);
    EXPECT_EQ(kv_.get("a")->as_integer(), 2);
  }
  EXPECT_EQ(kv_.get("a")->as_integer(), 1) << "it was rolled back";
  EXPECT_FALSE(kv_.get("b"));
  storage_.transaction_sync([&] {
    kv_.put("b", 3);
    try {
      storage_.transaction_sync([&] {
        kv_.put("c", 3);
        throw std::runtime_error("back");
      });
    } catch (const std::runtime_error&) {
    }
    kv_.put("d", 3);
  });
  storage_.sync();
  storage_.close();
  crash();
  Storage again = (GetParam() == StorageKind::kSqlite ? *sqlite_ : *keyed_).open("a");
  std::string text;
  KvCursor cursor = again.kv().list();
  while (const auto pair = cursor.next()) text += pair->key + "=" + pair->value.json() + ";";
  EXPECT_EQ(text, "a=1;b=3;d=3;");
}

TEST_P(KvTest, EndsWithTheStorage) {
  kv_.put("a", 1);
  KvCursor cursor = kv_.list();
  storage_.close();
  const std::string closed =
      "The storage of the object " + storage_.id().to_string() + " has been closed.";
  EXPECT_EQ(message_of([&] { static_cast<void>(kv_.get("a")); }), closed);
  EXPECT_EQ(message_of([&] { kv_.put("a", 1); }), closed);
  EXPECT_EQ(message_of([&] { kv_.remove("a"); }), closed);
  EXPECT_EQ(message_of([&] { cursor.next(); }), closed);
}

}  // namespace
}  // namespace perdure::native::testing
