#include "front/request_parser.h"

#include <random>
#include <string>

#include <gtest/gtest.h>

namespace perdure::front {
namespace {

constexpr std::size_t kHeaderMax = 1024;
constexpr std::uint64_t kBodyMax = 1000;

// Feeds the pieces as a connection does: what was not used is passed again with more behind it.
struct Feed {
  RequestParser parser{kHeaderMax, kBodyMax};
  std::string pending;
  std::string body;

  void add(std::string_view piece) {
    pending += piece;
    while (!parser.fault() && !pending.empty() && !done()) {
      const auto used =
          parser.head_complete() ? parser.parse_body(pending, body) : parser.parse_head(pending);
      // Memory that is in nobody's way any more: the parser must not look at it again.
      pending = std::string(pending.substr(used));
      if (used == 0) break;
    }
  }
  [[nodiscard]] bool done() const { return parser.head_complete() && parser.body_complete(); }
};

int status_of(std::string_view request) {
  Feed feed;
  feed.add(request);
  return feed.parser.fault().status;
}

std::string get(std::string_view headers) {
  return "GET / HTTP/1.1\r\nHost: a\r\n" + std::string(headers) + "\r\n";
}

TEST(RequestParser, WritesTheHeadAsLines) {
  Feed feed;
  feed.add("POST /a?b=c HTTP/1.1\r\nHost: x:1\r\nX-Two:  v w \t\r\nEmpty:\r\nx-two: \xe9\r\n\r\n");
  ASSERT_TRUE(feed.done());
  EXPECT_EQ(feed.parser.take_head(), "POST\n/a?b=c\nhost\nx:1\nx-two\nv w\nempty\n\nx-two\n\xe9\n");
  EXPECT_TRUE(feed.parser.keep_alive());
  EXPECT_TRUE(feed.parser.is_http_1_1());
  EXPECT_FALSE(feed.parser.is_head_request());
}

TEST(RequestParser, EveryWayToSplitGivesTheSame) {
  const std::string requests[] = {
      "\r\nPOST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
      "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nhe\r\n3;a=\"b\"\r\nllo\r\n0\r\nTrailer: x\r\n\r\n",
      "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
  };
  for (const auto& request : requests) {
    for (std::size_t first = 0; first <= request.size(); ++first) {
      for (std::size_t second = first; second <= request.size(); ++second) {
        Feed feed;
        feed.add(request.substr(0, first));
        feed.add(request.substr(first, second - first));
        feed.add(request.substr(second));
        ASSERT_EQ(feed.parser.fault().status, 0) << request << " at " << first << ", " << second;
        ASSERT_TRUE(feed.done()) << request << " at " << first << ", " << second;
        ASSERT_EQ(feed.body, "hello");
        ASSERT_EQ(feed.parser.take_head().substr(0, 8), "POST\n/p\n");
        ASSERT_EQ(feed.pending, "");
      }
    }
  }
}

TEST(RequestParser, ByteByByte) {
  const std::string request =
      "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
  Feed feed;
  for (const char c : request) feed.add({&c, 1});
  EXPECT_TRUE(feed.done());
}

TEST(RequestParser, LeavesTheNextRequestAlone) {
  Feed feed;
  feed.add("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /2 HTTP/1.1\r\n");
  EXPECT_TRUE(feed.done());
  EXPECT_EQ(feed.body, "hi");
  EXPECT_EQ(feed.pending, "GET /2 HTTP/1.1\r\n");
}

TEST(RequestParser, RefusesWhatOthersCouldReadDifferently) {
  EXPECT_EQ(status_of(get("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n")), 400);
  EXPECT_EQ(status_of(get("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n")), 400);
  EXPECT_EQ(status_of(get("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")), 400);
  EXPECT_EQ(status_of(get("Transfer-Encoding: gzip, chunked\r\n")), 501);
  EXPECT_EQ(status_of(get("Transfer-Encoding: xchunked\r\n")), 501);
  EXPECT_EQ(status_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(status_of(get("Content-Length: 1\r\nContent-Length: 2\r\n")), 400);
  EXPECT_EQ(status_of(get("Content-Length: 1, 2\r\n")), 400);
  for (const auto* length : {"+1", "-1", "0x1", "", "1 1", "18446744073709551616", "1;"}) {
    EXPECT_EQ(status_of(get("Content-Length: " + std::string(length) + "\r\n")), 400) << length;
  }
  EXPECT_EQ(status_of(get("Content-Length : 1\r\n")), 400);
  EXPECT_EQ(status_of(get("A: b\r\n c\r\n")), 400);
  EXPECT_EQ(status_of(get("A:\r\n c\r\n")), 400);
  EXPECT_EQ(status_of(get("A: b\r\n \r\n")), 400);
  EXPECT_EQ(status_of(get("A: b\nB: c\r\n")), 400);
  EXPECT_EQ(status_of(get("A: b\rB: c\r\n")), 400);
  EXPECT_EQ(status_of(get(std::string_view("A: b\0c\r\n", 8))), 400);
  EXPECT_EQ(status_of(get(": b\r\n")), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(status_of(get("Host: b\r\n")), 400);
  EXPECT_EQ(status_of("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("G\x01T / HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"), 400);
}

TEST(RequestParser, RefusesBadChunks) {
  const auto chunked = [](std::string_view body) {
    return status_of("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
                     std::string(body));
  };
  EXPECT_EQ(chunked("5\r\nhello\r\n0\r\n\r\n"), 0);
  EXPECT_EQ(chunked("-5\r\nhello\r\n"), 400);
  EXPECT_EQ(chunked("0x5\r\nhello\r\n\r\n"), 400);
  EXPECT_EQ(chunked(" 5\r\nhello\r\n"), 400);
  EXPECT_EQ(chunked("5\nhello\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(chunked("5\r\nhelloX\r\n0\r\n\r\n"), 400);
  EXPECT_EQ(chunked("ffffffffffffffffff\r\nhello"), 400);
  EXPECT_EQ(chunked("0\r\nContent-Length: 3\r\n\r\n"), 400);
  EXPECT_EQ(chunked("0\r\nA: b\r\n c\r\n\r\n"), 400);
  EXPECT_EQ(chunked("5;" + std::string(kHeaderMax + 1, 'a')), 400);
}

TEST(RequestParser, Versions) {
  for (const auto* version : {"HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTQ/1.1", "http/1.1"}) {
    EXPECT_EQ(status_of("GET / " + std::string(version) + "\r\nHost: a\r\n\r\n"), 505) << version;
  }
  Feed feed;
  feed.add("GET / HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(feed.done());
  EXPECT_FALSE(feed.parser.keep_alive());
}

TEST(RequestParser, HeaderLimitCountsAllOfTheHeader) {
  const std::string fixed = get("A: \r\n");
  const auto with_size = [&](std::size_t size) {
    return get("A: " + std::string(size - fixed.size(), 'x') + "\r\n");
  };
  EXPECT_EQ(status_of(with_size(kHeaderMax)), 0);
  EXPECT_EQ(status_of(with_size(kHeaderMax + 1)), 431);
  EXPECT_EQ(status_of("GET /" + std::string(kHeaderMax, 'x')), 431);

  // One line at a time, none of them long.
  Feed feed;
  feed.add("GET / HTTP/1.1\r\nHost: a\r\n");
  for (int i = 0; i < 200 && !feed.parser.fault(); ++i) feed.add("A: 0123456789\r\n");
  EXPECT_EQ(feed.parser.fault().status, 431);
}

TEST(RequestParser, BodyLimit) {
  EXPECT_EQ(status_of(get("Content-Length: 1000\r\n")), 0);
  EXPECT_EQ(status_of(get("Content-Length: 1001\r\n")), 413);
  const std::string chunk = "1f4\r\n" + std::string(500, 'x') + "\r\n";
  const std::string head = get("Transfer-Encoding: chunked\r\n");
  EXPECT_EQ(status_of(head + chunk + chunk + "0\r\n\r\n"), 0);
  EXPECT_EQ(status_of(head + chunk + chunk + "1\r\nx\r\n"), 413);
}

TEST(RequestParser, Expectations) {
  Feed feed;
  feed.add(get("Expect: 100-Continue\r\nContent-Length: 3\r\n"));
  EXPECT_TRUE(feed.parser.expects_continue());
  EXPECT_EQ(status_of(get("Expect: tea\r\n")), 417);
}

TEST(RequestParser, GarbageIsNeverAccepted) {
  std::mt19937 random(7);
  constexpr std::string_view alphabet("GET /HOST:hTP.1\r\n\r\n\r\n 0a5;\"\\\t\0\xff-,", 33);
  for (int round = 0; round < 20'000; ++round) {
    std::string input = round % 2 == 0 ? get("Transfer-Encoding: chunked\r\n") : std::string();
    const auto size = random() % 60;
    for (std::size_t i = 0; i < size; ++i) input += alphabet[random() % alphabet.size()];
    Feed feed;
    while (!input.empty() && !feed.parser.fault()) {
      const auto piece = std::min<std::size_t>(1 + random() % 9, input.size());
      feed.add(input.substr(0, piece));
      input.erase(0, piece);
    }
  }
}

}  // namespace
}  // namespace perdure::front
