#include "runtime/object_id.h"

#include <string>

#include <gtest/gtest.h>

namespace perdure::runtime {
namespace {

TEST(ObjectId, NamesGiveTheSameIdAlways) {
  const ObjectIdFactory factory("ns");
  EXPECT_EQ(factory.from_name("a"), factory.from_name("a"));
  EXPECT_FALSE(factory.from_name("a") == factory.from_name("b"));
  EXPECT_FALSE(factory.from_name("a") == ObjectIdFactory("other").from_name("a"));
  EXPECT_EQ(factory.from_name("").hex().size(), 64U);
}

// Printed by workerd for a Worker named `o` with the class `A`: the namespace's key is `o-A`.
TEST(ObjectId, AgreesWithWorkerd) {
  const ObjectIdFactory factory("o-A");
  EXPECT_EQ(factory.from_name("").hex(),
            "f7a3eb55e38a35dbd20728b8669b6fbc8920826e5d49cdca81f1c18d3f093975");
  EXPECT_EQ(factory.from_name("a").hex(),
            "d46b9ad557387228e70ecea15ea2978473de691bf4134bc69ba04dc201934db0");
  EXPECT_EQ(factory
                .from_name("gr\xc3\xbc\xc3\x9f"
                           "e")
                .hex(),
            "813dabb34dd9f677694ad29201e6947a1a580741dda3f9b14911271839c3acc7");
  EXPECT_EQ(factory.from_name(std::string(300, 'x')).hex(),
            "e8d2aa6a3ca0e2b4af42418d8064962955eb3391f6eb8282d74a189af3d8b799");
  EXPECT_TRUE(
      factory.from_string("aa3786a1ad4e780eb21f695f0b1526da2809d45718c82305f1121e21322f74d8"));
}

TEST(ObjectId, ParsesOnlyIdsOfItsNamespace) {
  const ObjectIdFactory factory("ns");
  const ObjectId id = factory.from_name("a");
  EXPECT_EQ(factory.from_string(id.hex()), id);
  std::string upper = id.hex();
  for (char& c : upper) c = static_cast<char>(std::toupper(c));
  EXPECT_EQ(factory.from_string(upper), id);
  std::string flipped = id.hex();
  flipped[5] = flipped[5] == '0' ? '1' : '0';
  EXPECT_EQ(factory.from_string(flipped), std::nullopt);
  EXPECT_EQ(factory.from_string(ObjectIdFactory("other").from_name("a").hex()), std::nullopt);
  EXPECT_EQ(factory.from_string(""), std::nullopt);
  EXPECT_EQ(factory.from_string(id.hex().substr(1)), std::nullopt);
  EXPECT_EQ(factory.from_string(std::string(64, 'x')), std::nullopt);
}

TEST(ObjectId, UniqueIdsDifferAndBelongToTheNamespace) {
  const ObjectIdFactory factory("ns");
  const ObjectId id = factory.unique();
  EXPECT_FALSE(id == factory.unique());
  EXPECT_EQ(factory.from_string(id.hex()), id);
}

}  // namespace
}  // namespace perdure::runtime
