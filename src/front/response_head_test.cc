#include "front/response_head.h"

#include <string>

#include <gtest/gtest.h>

namespace perdure::front {
namespace {

TEST(ResponseHead, StatusLines) {
  const auto line = [](std::uint16_t status) {
    std::string out;
    append_status_line(out, status);
    return out;
  };
  EXPECT_EQ(line(200), "HTTP/1.1 200 OK\r\n");
  EXPECT_EQ(line(404), "HTTP/1.1 404 Not Found\r\n");
  EXPECT_EQ(line(299), "HTTP/1.1 299 \r\n");
}

TEST(ResponseHead, ReasonOfTheCaller) {
  std::string_view head = " Made Up\r\na: b\r\n";
  const auto reason = take_reason(head);
  EXPECT_EQ(reason, "Made Up");
  EXPECT_EQ(head, "a: b\r\n");
  std::string out;
  append_status_line(out, 200, reason);
  EXPECT_EQ(out, "HTTP/1.1 200 Made Up\r\n");
  EXPECT_EQ(take_reason(head), "");
  EXPECT_EQ(head, "a: b\r\n");
}

TEST(ResponseHead, DropsWhatTheServerWrites) {
  std::string out;
  const auto caller = append_caller_headers(
      out,
      "A: 1\r\nContent-LENGTH: 12\r\nTransfer-Encoding: chunked\r\ncontent-type: x\r\n"
      "Connection: Close\r\nKeep-Alive: 5\r\nDate: now\r\nUpgrade: h2\r\nProxy-Connection: a\r\n"
      "TE: x\r\nTrailer: y\r\ndated: 3\r\nZ: 2\r\n");
  EXPECT_EQ(out, "A: 1\r\ncontent-type: x\r\ndated: 3\r\nZ: 2\r\n");
  EXPECT_EQ(caller.content_length, 12);
  EXPECT_TRUE(caller.close);
}

TEST(ResponseHead, KeepsTheRest) {
  std::string out;
  const auto caller = append_caller_headers(out, "set-cookie: a\r\nset-cookie: b\r\n");
  EXPECT_EQ(out, "set-cookie: a\r\nset-cookie: b\r\n");
  EXPECT_FALSE(caller.content_length);
  EXPECT_FALSE(caller.close);
}

TEST(ResponseHead, ContentLengthThatIsNoNumberIsNone) {
  for (const auto* value : {"", "x", "-1", "1 2", "99999999999999999999"}) {
    std::string out;
    const auto head = "content-length: " + std::string(value) + "\r\n";
    EXPECT_FALSE(append_caller_headers(out, head).content_length) << value;
    EXPECT_EQ(out, "");
  }
}

TEST(ResponseHead, DateIsInTheFormOfHttp) {
  DateLine date;
  date.refresh();
  std::tm parsed{};
  const std::string text(date.text());
  const char* rest = strptime(text.c_str(), "date: %a, %d %b %Y %H:%M:%S GMT", &parsed);
  ASSERT_NE(rest, nullptr) << text;
  EXPECT_STREQ(rest, "\r\n");
  EXPECT_LE(std::abs(std::difftime(timegm(&parsed), std::time(nullptr))), 2);
}

}  // namespace
}  // namespace perdure::front
