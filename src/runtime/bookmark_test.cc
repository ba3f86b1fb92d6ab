#include "runtime/bookmark.h"

#include <algorithm>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/error.h"

namespace perdure::runtime {
namespace {

TEST(BookmarkTest, HasTheShapeOfCloudflares) {
  const std::string text = Bookmark{.lsn = 0x123456789abcdef0, .restore = 7, .object = 0xfe}.text();
  EXPECT_EQ(text.substr(0, 43), "12345678-9abcdef0-00000007-00000000000000fe");
  EXPECT_EQ(text.size(), 59u);
}

TEST(BookmarkTest, ComesBackAsItWas) {
  for (const Bookmark& bookmark :
       {Bookmark{}, Bookmark{1, 0, 5}, Bookmark{0xffffffffffffffff, 0xffffff, 0xffffffffffffffff},
        Bookmark{1ull << 32, 3, 1ull << 63}}) {
    EXPECT_EQ(Bookmark::parse(bookmark.text()), bookmark) << bookmark.text();
  }
}

TEST(BookmarkTest, TextsAreOrderedAsTheStates) {
  const std::vector<Bookmark> bookmarks = {
      {0, 0, 9},  {1, 0, 8},   {1, 1, 7},   {1, 2, 6},          {9, 0, 5},         {10, 0, 4},
      {16, 0, 3}, {255, 9, 2}, {256, 0, 2}, {0xffffffff, 0, 1}, {1ull << 32, 0, 0}};
  std::vector<std::string> texts;
  for (const Bookmark& bookmark : bookmarks) texts.push_back(bookmark.text());
  EXPECT_TRUE(std::is_sorted(texts.begin(), texts.end()));
}

TEST(BookmarkTest, RefusesEveryTextThatDiffersInOneCharacter) {
  const std::string text = Bookmark{.lsn = 77, .restore = 2, .object = 12345}.text();
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (const char c : {'0', '1', 'f', 'A', 'g', '-', ' ', '+', '\0'}) {
      std::string changed = text;
      changed[i] = c;
      if (changed == text) continue;
      EXPECT_THROW(static_cast<void>(Bookmark::parse(changed)), Error) << changed;
    }
  }
}

TEST(BookmarkTest, RefusesWhatIsNoBookmark) {
  const std::string text = Bookmark{.lsn = 0xabc, .restore = 0, .object = 1}.text();
  std::string upper = text;
  std::transform(upper.begin(), upper.end(), upper.begin(), ::toupper);
  for (const std::string& wrong :
       {std::string(), std::string("x"), text + "0", text + "\n", text.substr(1), " " + text, upper,
        std::string("00000000-00000000-00000000-00000000000000000000000000000000"),
        std::string(1'000'000, 'a')}) {
    try {
      static_cast<void>(Bookmark::parse(wrong));
      ADD_FAILURE() << wrong;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalid);
      EXPECT_LT(std::string(error.what()).size(), 400u);
      EXPECT_NE(std::string(error.what()).find("is malformed"), std::string::npos);
    }
  }
}

TEST(BookmarkTest, IsQuotedAsAText) {
  EXPECT_EQ(quoted_bookmark("a\"b"), "\"a\"b\"");
  EXPECT_EQ(quoted_bookmark(std::string("a\0b\n\x1b[31m\x7f", 10)),
            "\"a\\x00b\\x0a\\x1b[31m\\x7f\"");
  EXPECT_EQ(quoted_bookmark(std::string(80, 'x')), "\"" + std::string(80, 'x') + "\"");
  // "ü" has two bytes, the second of which is the 81st.
  EXPECT_EQ(quoted_bookmark(std::string(79, 'x') + "üü"), "\"" + std::string(79, 'x') + "…\"");
  EXPECT_EQ(quoted_bookmark(std::string(200, '\x80')).size(), 2 + std::string("…").size());
}

TEST(BookmarkTest, KnowsTheLogTheNamespaceAndTheObject) {
  const ObjectIdFactory factory("ns");
  const auto a = factory.from_name("a");
  const std::uint64_t object = bookmark_object(1, 2, "ns", a);
  EXPECT_EQ(bookmark_object(1, 2, "ns", a), object);
  EXPECT_NE(bookmark_object(2, 2, "ns", a), object);
  EXPECT_NE(bookmark_object(1, 3, "ns", a), object);
  EXPECT_NE(bookmark_object(1, 2, "ns2", a), object);
  EXPECT_NE(bookmark_object(1, 2, "ns", factory.from_name("b")), object);
}

}  // namespace
}  // namespace perdure::runtime
