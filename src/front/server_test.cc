#include "front/server.h"

#include <atomic>
#include <fstream>
#include <future>
#include <random>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "base/error.h"
#include "front/test_client.h"
#include "front/test_server.h"

namespace perdure::front {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Kind = RequestEvent::Kind;

constexpr std::string_view kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr milliseconds kNothingComes{60};

class ServerTest : public testing::Test {
 protected:
  void start() {
    options_.port = 0;
    server_ = std::make_unique<Server>(options_, std::vector<RequestSink*>{&sink_}, &durability_);
    respond_ = std::make_unique<Responder>(*server_);
  }
  // Answers each whole request with its body, or "hi".
  void start_echo() {
    sink_.handler = [this](RequestEvent& event) {
      std::string& body = bodies_[event.id];
      body += event.body;
      if (event.kind == Kind::kCancel) {
        ++cancels_;
      } else if (event.body_complete) {
        respond_->whole(event.id, body.empty() ? "hi" : body);
      } else {
        respond_->consumed(event.id, event.body.size());
      }
      if (event.body_complete) bodies_.erase(event.id);
    };
    start();
  }
  [[nodiscard]] std::uint16_t port() const { return server_->port(); }

  // A client whose request is in flight.
  struct InFlight {
    std::unique_ptr<TestClient> client;
    RequestEvent event;
  };
  InFlight request(std::string_view text = kGet) {
    InFlight flight{std::make_unique<TestClient>(port()), {}};
    flight.client->send(text);
    flight.event = sink_.next();
    EXPECT_EQ(flight.event.kind, Kind::kRequest);
    EXPECT_NE(flight.event.id, 0u);
    return flight;
  }

  // Returns once the front has seen all that was sent to it before.
  void settle() {
    auto [client, event] = request();
    respond_->whole(event.id, "settled");
    EXPECT_EQ(client->read_response().body, "settled");
  }

  // The answer of the server to something it does not accept, after which it closes.
  std::string refusal(std::string_view text) {
    TestClient client(port());
    client.send(text);
    return client.read_to_end();
  }

  ServerOptions options_;
  TestSink sink_;
  FakeDurability durability_;
  std::unique_ptr<Server> server_;
  std::unique_ptr<Responder> respond_;
  std::map<RequestId, std::string> bodies_;
  std::atomic<int> cancels_{0};
};

// Requests and whole responses

TEST_F(ServerTest, AnswersARequest) {
  start();
  auto [client, event] = request("GET /x?y HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n");
  EXPECT_EQ(event.head, "GET\n/x?y\nhost\na\nx-a\nb\n");
  EXPECT_TRUE(event.body_complete);
  respond_->whole(event.id, "hello", 0, "content-type: text/plain\r\ncontent-length: 99\r\n", 201);
  const auto response = client->read_response();
  EXPECT_THAT(response.head, StartsWith("HTTP/1.1 201 Created\r\ncontent-type: text/plain\r\n"
                                        "content-length: 5\r\ndate: "));
  EXPECT_THAT(response.head, Not(HasSubstr("connection")));
  EXPECT_EQ(response.body, "hello");
}

TEST_F(ServerTest, ConnectionsTakeTurnsAmongTheSinks) {
  TestSink second;
  options_.port = 0;
  server_ =
      std::make_unique<Server>(options_, std::vector<RequestSink*>{&sink_, &second}, &durability_);
  respond_ = std::make_unique<Responder>(*server_);
  const auto ask = [&](TestClient& client, TestSink& sink) {
    client.send(kGet);
    const auto event = sink.next();
    respond_->whole(event.id, "hi");
    return client.read_response().body;
  };
  TestClient one(port());
  TestClient two(port());
  TestClient three(port());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(ask(one, sink_), "hi");
    EXPECT_EQ(ask(two, second), "hi");
    EXPECT_EQ(ask(three, sink_), "hi");
  }
}

TEST_F(ServerTest, AResponseSaysWhichSinkGetsTheNextRequestForItsTarget) {
  TestSink second;
  options_.port = 0;
  server_ =
      std::make_unique<Server>(options_, std::vector<RequestSink*>{&sink_, &second}, &durability_);
  TestClient client(port());
  const auto ask = [&](TestSink& sink, std::string_view target, std::uint16_t next_sink) {
    client.send("GET " + std::string(target) + " HTTP/1.1\r\nHost: a\r\n\r\n");
    ResponseEvent answer;
    answer.id = sink.next().id;
    answer.body = "hi";
    answer.next_sink = next_sink;
    std::vector<ResponseEvent> events;
    events.push_back(std::move(answer));
    server_->send(events);
    return client.read_response().body;
  };
  EXPECT_EQ(ask(sink_, "/a?name=1", 2), "hi");
  EXPECT_EQ(ask(second, "/a?name=1", 0), "hi");
  EXPECT_EQ(ask(second, "/a?name=1", 7), "hi") << "there are two";
  EXPECT_EQ(ask(second, "/a?name=1", 2), "hi");
  EXPECT_EQ(ask(sink_, "/a?name=2", 0), "hi") << "another target";
  EXPECT_EQ(ask(second, "/a?name=1", 1), "hi");
  EXPECT_EQ(ask(sink_, "/a?name=1", 2), "hi") << "its requests go to several";
  EXPECT_EQ(ask(sink_, "/a?name=1", 0), "hi");
}

TEST_F(ServerTest, KeepsTheConnection) {
  start_echo();
  TestClient client(port());
  for (int i = 0; i < 50; ++i) {
    client.send(kGet);
    ASSERT_EQ(client.read_response().body, "hi");
  }
}

TEST_F(ServerTest, ARequestSplitAnywhere) {
  start_echo();
  const std::string text =
      "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
      "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
      "chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
  TestClient client(port());
  for (std::size_t at = 1; at < text.size(); ++at) {
    client.send(text.substr(0, at));
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    client.send(text.substr(at));
    ASSERT_EQ(client.read_response().body, "hello") << at;
    ASSERT_EQ(client.read_response().body, "hello") << at;
  }
}

TEST_F(ServerTest, PipelinedRequestsAreAnsweredInOrderOneAtATime) {
  start();
  TestClient client(port());
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += "POST /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab";
  }
  client.send(text);
  for (int i = 0; i < 1000; ++i) {
    const auto event = sink_.next_whole();
    ASSERT_THAT(event.head, StartsWith("POST\n/" + std::to_string(i) + "\n"));
    ASSERT_EQ(event.body, "ab");
    if (i == 0) {
      EXPECT_EQ(sink_.next(kNothingComes).id, 0u);
    }
    respond_->whole(event.id, std::to_string(i));
  }
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(client.read_response().body, std::to_string(i));
}

TEST_F(ServerTest, Http10) {
  start_echo();
  TestClient closing(port());
  closing.send("GET / HTTP/1.0\r\n\r\n");
  const auto text = closing.read_to_end();
  EXPECT_THAT(text, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(text, HasSubstr("\r\nconnection: close\r\n"));
  TestClient keeping(port());
  for (int i = 0; i < 3; ++i) {
    keeping.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    EXPECT_THAT(keeping.read_response().head, HasSubstr("\r\nconnection: keep-alive\r\n"));
  }
}

TEST_F(ServerTest, ConnectionCloseFromEitherSide) {
  start();
  {
    auto [client, event] = request("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    respond_->whole(event.id, "a");
    EXPECT_THAT(client->read_response().head, HasSubstr("\r\nconnection: close\r\n"));
    EXPECT_TRUE(client->ended());
  }
  auto [client, event] = request();
  respond_->whole(event.id, "a", 0, "Connection: close\r\n");
  EXPECT_THAT(client->read_response().head, HasSubstr("\r\nconnection: close\r\n"));
  EXPECT_TRUE(client->ended());
}

TEST_F(ServerTest, HeadHasNoBodyButItsLength) {
  start();
  auto [client, event] = request("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  respond_->whole(event.id, "12345");
  EXPECT_THAT(client->read_response(false).head, HasSubstr("\r\ncontent-length: 5\r\n"));
  client->send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  respond_->whole(sink_.next().id, "", 0, "content-length: 77\r\n");
  EXPECT_THAT(client->read_response(false).head, HasSubstr("\r\ncontent-length: 77\r\n"));
  client->send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  const auto id = sink_.next().id;
  respond_->head(id);
  respond_->chunk(id, "not sent");
  respond_->end(id);
  EXPECT_THAT(client->read_response(false).head, Not(HasSubstr("transfer-encoding")));
  client->send(kGet);
  respond_->whole(sink_.next().id, "next");
  EXPECT_EQ(client->read_response().body, "next");
}

TEST_F(ServerTest, StatusesWithoutABody) {
  start();
  auto [client, event] = request();
  respond_->whole(event.id, "dropped", 0, "content-length: 7\r\n", 204);
  EXPECT_THAT(client->read_response(false).head, Not(HasSubstr("content-length")));
  client->send(kGet);
  respond_->whole(sink_.next().id, "", 0, "content-length: 7\r\n", 304);
  EXPECT_THAT(client->read_response(false).head, HasSubstr("content-length: 7"));
  client->send(kGet);
  auto id = sink_.next().id;
  respond_->head(id, "", 0, 204);
  respond_->chunk(id, "dropped");
  respond_->end(id);
  EXPECT_THAT(client->read_response(false).head, Not(HasSubstr("transfer-encoding")));
  client->send(kGet);
  respond_->whole(sink_.next().id, "next");
  EXPECT_EQ(client->read_response().body, "next");
}

TEST_F(ServerTest, ALargeBodyGoesOutWhole) {
  start();
  auto [client, event] = request();
  std::string body(20 << 20, 'x');
  for (std::size_t i = 0; i < body.size(); i += 977) body[i] = static_cast<char>('a' + i % 23);
  respond_->whole(event.id, body);
  EXPECT_TRUE(client->read_response().body == body);
}

TEST_F(ServerTest, ManyClientsAtOnce) {
  start_echo();
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::vector<std::unique_ptr<TestClient>> clients;
      for (int i = 0; i < 80; ++i) clients.push_back(std::make_unique<TestClient>(port()));
      for (int round = 0; round < 10; ++round) {
        const auto body = std::to_string(t * 1000 + round);
        for (auto& client : clients) {
          client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " +
                       std::to_string(body.size()) + "\r\n\r\n" + body);
        }
        for (auto& client : clients) good += client->read_response().body == body ? 1 : 0;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 4 * 80 * 10);
}

TEST_F(ServerTest, SendFromManyThreads) {
  start();
  std::vector<InFlight> flights;
  for (int i = 0; i < 64; ++i) flights.push_back(request());
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = static_cast<std::size_t>(t); i < flights.size(); i += 4) {
        respond_->whole(flights[i].event.id, std::to_string(i));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  for (std::size_t i = 0; i < flights.size(); ++i) {
    EXPECT_EQ(flights[i].client->read_response().body, std::to_string(i));
  }
}

// Durability

TEST_F(ServerTest, AResponseWaitsForItsLsnAndNobodyElseDoes) {
  start();
  auto waiting = request();
  auto free = request();
  auto later = request();
  respond_->whole(later.event.id, "later", 9);
  respond_->whole(waiting.event.id, "waited", 5);
  respond_->whole(free.event.id, "free");
  EXPECT_EQ(free.client->read_response().body, "free");
  durability_.advance(4);
  EXPECT_FALSE(waiting.client->has_input(kNothingComes));
  durability_.advance(5);
  EXPECT_EQ(waiting.client->read_response().body, "waited");
  EXPECT_FALSE(later.client->has_input(kNothingComes));
  durability_.advance(100);
  EXPECT_EQ(later.client->read_response().body, "later");
}

TEST_F(ServerTest, WhatIsDurableAlreadyDoesNotWait) {
  durability_.advance(7);
  start();
  auto [client, event] = request();
  respond_->whole(event.id, "a", 7);
  EXPECT_EQ(client->read_response().body, "a");
}

TEST_F(ServerTest, EachPartOfAStreamWaitsForItsLsn) {
  start();
  auto [client, event] = request();
  respond_->head(event.id, "", 2);
  respond_->chunk(event.id, "one", 1);
  respond_->chunk(event.id, "two", 4);
  respond_->end(event.id, 6);
  durability_.advance(1);
  EXPECT_FALSE(client->has_input(kNothingComes));
  durability_.advance(3);
  EXPECT_THAT(client->read_until("\r\n\r\n"), HasSubstr("transfer-encoding: chunked"));
  EXPECT_EQ(client->read(8), "3\r\none\r\n");
  EXPECT_FALSE(client->has_input(kNothingComes));
  durability_.advance(5);
  EXPECT_EQ(client->read(8), "3\r\ntwo\r\n");
  EXPECT_FALSE(client->has_input(kNothingComes));
  durability_.advance(6);
  EXPECT_EQ(client->read(5), "0\r\n\r\n");
}

TEST_F(ServerTest, ResponsesThatWaitStayInOrderOnAConnection) {
  start();
  TestClient client(port());
  client.send(std::string(kGet) + std::string(kGet));
  respond_->whole(sink_.next().id, "first", 3);
  EXPECT_EQ(sink_.next(kNothingComes).id, 0u);
  durability_.advance(3);
  respond_->whole(sink_.next().id, "second");
  EXPECT_EQ(client.read_response().body, "first");
  EXPECT_EQ(client.read_response().body, "second");
}

TEST_F(ServerTest, AdvancesInARaceLoseNothing) {
  std::atomic<Lsn> appended{0};
  std::atomic<bool> done{false};
  sink_.handler = [&](RequestEvent& event) { respond_->whole(event.id, "ok", ++appended); };
  start();
  std::thread flusher([&] {
    while (!done) durability_.advance(appended.load());
  });
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      TestClient client(port());
      for (int i = 0; i < 2000; ++i) {
        client.send(kGet);
        good += client.read_response().body == "ok" ? 1 : 0;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  done = true;
  flusher.join();
  EXPECT_EQ(good, 4000);
}

TEST_F(ServerTest, AClientThatGoesAwayWhileItsResponseWaits) {
  start();
  auto flight = request();
  respond_->whole(flight.event.id, "nobody", 5);
  settle();
  flight.client->reset();
  // The shard has done its part, so it is not told.
  EXPECT_EQ(sink_.next(kNothingComes).id, 0u);
  durability_.advance(5);
  auto [client, event] = request();
  respond_->whole(event.id, "alive");
  EXPECT_EQ(client->read_response().body, "alive");
}

// Streams

TEST_F(ServerTest, StreamsInChunks) {
  start();
  auto [client, event] = request();
  respond_->head(event.id, "a: b\r\nTransfer-Encoding: gzip\r\n");
  respond_->chunk(event.id, "hello ");
  respond_->chunk(event.id, "");
  respond_->chunk(event.id, std::string(100'000, 'x'));
  respond_->end(event.id);
  const auto response = client->read_response();
  EXPECT_THAT(response.head, Not(HasSubstr("gzip")));
  EXPECT_EQ(response.body, "hello " + std::string(100'000, 'x'));
  client->send(kGet);
  respond_->whole(sink_.next().id, "next");
  EXPECT_EQ(client->read_response().body, "next");
}

TEST_F(ServerTest, StreamsWithAContentLength) {
  start();
  auto [client, event] = request();
  respond_->head(event.id, "Content-Length: 6\r\n");
  respond_->chunk(event.id, "abc");
  respond_->chunk(event.id, "def");
  respond_->end(event.id);
  const auto response = client->read_response();
  EXPECT_THAT(response.head, Not(HasSubstr("transfer-encoding")));
  EXPECT_EQ(response.body, "abcdef");
}

TEST_F(ServerTest, AStreamThatDoesNotKeepItsLengthEndsTheConnection) {
  start();
  {
    auto [client, event] = request();
    respond_->head(event.id, "content-length: 6\r\n");
    respond_->chunk(event.id, "abc");
    respond_->end(event.id);
    EXPECT_THAT(client->read_to_end(), testing::EndsWith("abc"));
  }
  auto [client, event] = request();
  respond_->head(event.id, "content-length: 2\r\n");
  respond_->chunk(event.id, "abc");
  EXPECT_TRUE(client->ended());
  const auto cancel = sink_.next();
  EXPECT_EQ(cancel.kind, Kind::kCancel);
  EXPECT_EQ(cancel.error, "The response is longer than its content-length.");
}

TEST_F(ServerTest, StreamsToHttp10UntilTheConnectionEnds) {
  start();
  auto [client, event] = request("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  respond_->head(event.id);
  respond_->chunk(event.id, "abc");
  respond_->end(event.id);
  const auto text = client->read_to_end();
  EXPECT_THAT(text, HasSubstr("\r\nconnection: close\r\n"));
  EXPECT_THAT(text, Not(HasSubstr("chunked")));
  EXPECT_THAT(text, testing::EndsWith("\r\n\r\nabc"));
}

TEST_F(ServerTest, AbortLetsTheClientTell) {
  start();
  {
    auto [client, event] = request();
    respond_->head(event.id);
    respond_->chunk(event.id, "abc");
    respond_->abort(event.id);
    EXPECT_THAT(client->read_to_end(), testing::EndsWith("3\r\nabc\r\n"));
  }
  {
    auto [client, event] = request("GET / HTTP/1.0\r\n\r\n");
    respond_->head(event.id);
    respond_->chunk(event.id, "abc");
    respond_->abort(event.id);
    EXPECT_TRUE(client->was_reset());
  }
  EXPECT_EQ(sink_.next(kNothingComes).id, 0u);
}

TEST_F(ServerTest, PartsInTheWrongOrderEndTheConnection) {
  start();
  auto [client, event] = request();
  respond_->chunk(event.id, "abc");
  EXPECT_TRUE(client->ended());
  EXPECT_EQ(sink_.next().error, "The response has its parts in the wrong order.");
}

TEST_F(ServerTest, WritableFollowsOnceTheClientHasTaken) {
  options_.response_buffer_bytes_max = 64 << 10;
  start();
  TestClient client(port(), 16 << 10);
  client.send(kGet);
  const auto id = sink_.next().id;
  respond_->head(id);
  const std::string chunk(4 << 20, 'x');  // more than the sockets take
  respond_->chunk(id, chunk);
  EXPECT_EQ(sink_.next(kNothingComes).id, 0u);
  std::thread reader([&] { EXPECT_EQ(client.read_response().body.size(), chunk.size() + 1); });
  const auto writable = sink_.next();
  EXPECT_EQ(writable.kind, Kind::kWritable);
  EXPECT_EQ(writable.id, id);
  respond_->chunk(id, "y");
  respond_->end(id);
  reader.join();
  EXPECT_EQ(sink_.next(kNothingComes).id, 0u);
}

TEST_F(ServerTest, WritableFollowsEvenWhenTheClientIsFast) {
  options_.response_buffer_bytes_max = 1000;
  start();
  auto [client, event] = request();
  respond_->head(event.id);
  for (int i = 0; i < 11; ++i) respond_->chunk(event.id, std::string(100, 'x'));
  EXPECT_EQ(sink_.next().kind, Kind::kWritable);
  EXPECT_EQ(sink_.next(kNothingComes).id, 0u);
  respond_->end(event.id);
  EXPECT_EQ(client->read_response().body.size(), 1100u);
}

TEST_F(ServerTest, WritableWaitsForTheLogToo) {
  options_.response_buffer_bytes_max = 1000;
  start();
  auto [client, event] = request();
  respond_->head(event.id);
  respond_->chunk(event.id, std::string(1001, 'x'), 5);
  EXPECT_EQ(sink_.next(kNothingComes).id, 0u);
  durability_.advance(5);
  EXPECT_EQ(sink_.next().kind, Kind::kWritable);
}

// Request bodies

TEST_F(ServerTest, ABodyStopsAtTheWindow) {
  options_.body_window_bytes = 100'000;
  start();
  TestClient client(port());
  const std::size_t size = 20 << 20;
  client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(size) + "\r\n\r\n");
  std::thread sender([&] { EXPECT_TRUE(client.send(std::string(size, 'x'))); });
  const auto request = sink_.next();
  std::size_t got = request.body.size();
  bool complete = false;
  while (got < options_.body_window_bytes) {
    const auto part = sink_.next();
    ASSERT_NE(part.id, 0u);
    got += part.body.size();
  }
  for (RequestEvent part; (part = sink_.next(kNothingComes)).id != 0;) got += part.body.size();
  EXPECT_GE(got, options_.body_window_bytes);
  EXPECT_LE(got, options_.body_window_bytes + (64 << 10));
  respond_->consumed(request.id, got);
  while (!complete) {
    const auto part = sink_.next();
    ASSERT_EQ(part.kind, Kind::kBody);
    got += part.body.size();
    complete = part.body_complete;
    respond_->consumed(request.id, part.body.size());
  }
  sender.join();
  EXPECT_EQ(got, size);
  respond_->whole(request.id, "ok");
  EXPECT_EQ(client.read_response().body, "ok");
}

TEST_F(ServerTest, ContinueIsSentWhenTheClientWaitsForIt) {
  start();
  auto [client, event] =
      request("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_FALSE(event.body_complete);
  EXPECT_EQ(client->read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client->send("abc");
  EXPECT_EQ(sink_.next().body, "abc");
  respond_->whole(event.id, "ok");
  EXPECT_EQ(client->read_response().body, "ok");
}

TEST_F(ServerTest, TheRestOfABodyThatNobodyReadIsSkipped) {
  start();
  auto [client, event] = request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\nab");
  respond_->whole(event.id, "early");
  EXPECT_EQ(client->read_response().body, "early");
  client->send(std::string(499'998, 'x') + std::string(kGet));
  auto next = sink_.next();
  EXPECT_EQ(next.kind, Kind::kRequest);
  EXPECT_THAT(next.head, StartsWith("GET\n"));
  respond_->whole(next.id, "next");
  EXPECT_EQ(client->read_response().body, "next");
}

TEST_F(ServerTest, AResponseCanStreamWhileTheBodyStillComes) {
  start();
  auto [client, event] =
      request("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
  respond_->head(event.id);
  respond_->chunk(event.id, "A");
  EXPECT_THAT(client->read_until("\r\n\r\n1\r\nA\r\n"), HasSubstr("200"));
  client->send("1\r\nb\r\n0\r\n\r\n");
  std::string body = event.body;
  for (bool complete = false; !complete;) {
    const auto part = sink_.next();
    ASSERT_EQ(part.kind, Kind::kBody);
    body += part.body;
    complete = part.body_complete;
  }
  EXPECT_EQ(body, "ab");
  respond_->chunk(event.id, "B");
  respond_->end(event.id);
  EXPECT_EQ(client->read_until("0\r\n\r\n"), "1\r\nB\r\n0\r\n\r\n");
}

// Refusals

TEST_F(ServerTest, Refusals) {
  options_.header_bytes_max = 1000;
  options_.body_bytes_max = 1000;
  start();
  const auto expect = [&](std::string_view request, std::string_view status,
                          std::string_view text) {
    const auto response = refusal(request);
    EXPECT_THAT(response, StartsWith("HTTP/1.1 " + std::string(status) +
                                     "\r\ncontent-type: text/plain; charset=utf-8\r\n"
                                     "content-length: " +
                                     std::to_string(text.size()) + "\r\ndate: "));
    EXPECT_THAT(response,
                testing::EndsWith(" GMT\r\nconnection: close\r\n\r\n" + std::string(text)));
  };
  expect("GET / HTTP/1.1\r\nHost: a\r\nA: " + std::string(2000, 'x'),
         "431 Request Header Fields Too Large", "Request header is too large.\n");
  expect("GET /" + std::string(200'000, 'x'), "431 Request Header Fields Too Large",
         "Request header is too large.\n");
  expect("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1001\r\n\r\n" + std::string(1001, 'x'),
         "413 Payload Too Large", "Request body is too large.\n");
  expect("nonsense\r\n\r\n", "400 Bad Request", "Malformed request.\n");
  expect("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         "400 Bad Request", "Malformed request.\n");
  expect("GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", "400 Bad Request",
         "Malformed request: a header goes on in the next line.\n");
  expect("GET / HTTP/1.1\r\n\r\n", "400 Bad Request",
         "Malformed request: exactly one host header is needed.\n");
  expect("GET / HTTP/3.0\r\nHost: a\r\n\r\n", "505 HTTP Version Not Supported",
         "Only HTTP/1.0 and HTTP/1.1 are supported.\n");
  expect("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501 Not Implemented",
         "Only the transfer-encoding \"chunked\" is supported.\n");
  EXPECT_EQ(sink_.next(kNothingComes).id, 0u);
}

TEST_F(ServerTest, ABodyThatGetsTooLargeOnTheWay) {
  options_.body_bytes_max = 1000;
  start();
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string chunk = "1f4\r\n" + std::string(500, 'x') + "\r\n";
  auto [client, event] = request(head + chunk);
  client->send(chunk + "5\r\nhello\r\n");
  EXPECT_THAT(client->read_to_end(), StartsWith("HTTP/1.1 413 Payload Too Large\r\n"));
  RequestEvent last;
  for (RequestEvent next; (next = sink_.next(kNothingComes)).id != 0;) last = std::move(next);
  EXPECT_EQ(last.kind, Kind::kCancel);
  EXPECT_EQ(last.error, "Request body is too large.");
}

TEST_F(ServerTest, ABrokenBodyDoesNotUndoAnAnswer) {
  start();
  auto [client, event] =
      request("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
  respond_->whole(event.id, "answered", 5);
  settle();
  client->send("nonsense\r\n\r\n");
  std::this_thread::sleep_for(kNothingComes);
  durability_.advance(5);
  EXPECT_EQ(client->read_response().body, "answered");
  EXPECT_TRUE(client->ended(true));
}

TEST_F(ServerTest, TooManyConnections) {
  options_.connections_max = 2;
  start();
  auto first = request();
  auto second = request();
  EXPECT_THAT(refusal(kGet), StartsWith("HTTP/1.1 503 Service Unavailable\r\n"));
  respond_->whole(first.event.id, "a");
  EXPECT_EQ(first.client->read_response().body, "a");
  first.client->close();
  std::this_thread::sleep_for(kNothingComes);
  auto third = request();
  respond_->whole(third.event.id, "b");
  EXPECT_EQ(third.client->read_response().body, "b");
}

TEST_F(ServerTest, GarbageNeverCrashes) {
  start_echo();
  std::mt19937 random(11);
  const std::string starts[] = {"", "GET / HTTP/1.1\r\nHost: a\r\n", std::string(kGet),
                                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"};
  for (int i = 0; i < 1000; ++i) {
    TestClient client(port());
    std::string bytes = starts[random() % 4];
    const auto size = random() % 300;
    for (std::size_t n = 0; n < size; ++n) bytes += static_cast<char>(random());
    client.send(bytes);
    if (i % 10 == 0) client.shutdown();
    if (i % 7 == 0) client.reset();
  }
  TestClient client(port());
  client.send(kGet);
  EXPECT_EQ(client.read_response().body, "hi");
}

// Time

TEST_F(ServerTest, AHeaderThatDoesNotArriveInTime) {
  options_.header_timeout = milliseconds(100);
  start();
  TestClient client(port());
  const auto start_time = std::chrono::steady_clock::now();
  client.send("GET / HTTP/1.1\r\n");
  EXPECT_THAT(client.read_to_end(), StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
  EXPECT_GE(std::chrono::steady_clock::now() - start_time, milliseconds(85));
}

TEST_F(ServerTest, AnIdleConnectionIsClosed) {
  options_.idle_timeout = milliseconds(100);
  start_echo();
  TestClient fresh(port());
  TestClient used(port());
  used.send(kGet);
  EXPECT_EQ(used.read_response().body, "hi");
  EXPECT_TRUE(fresh.ended());
  EXPECT_TRUE(used.ended());
}

TEST_F(ServerTest, WaitingForTheShardIsNotIdle) {
  options_.idle_timeout = milliseconds(50);
  options_.header_timeout = milliseconds(50);
  start();
  auto [client, event] = request();
  std::this_thread::sleep_for(milliseconds(250));
  respond_->whole(event.id, "slow");
  EXPECT_EQ(client->read_response().body, "slow");
}

TEST_F(ServerTest, ABodyThatStalls) {
  options_.idle_timeout = milliseconds(100);
  start();
  auto [client, event] = request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  EXPECT_THAT(client->read_to_end(), StartsWith("HTTP/1.1 408 Request Timeout\r\n"));
  EXPECT_EQ(sink_.next().kind, Kind::kCancel);
}

TEST_F(ServerTest, ABodyThatTheShardHoldsUpDoesNotStall) {
  options_.idle_timeout = milliseconds(100);
  options_.body_window_bytes = 2;
  start();
  auto [client, event] = request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
  std::this_thread::sleep_for(milliseconds(300));
  respond_->consumed(event.id, 2);
  client->send("cde");
  EXPECT_EQ(sink_.next().body, "cde");
  respond_->whole(event.id, "ok");
  EXPECT_EQ(client->read_response().body, "ok");
}

TEST_F(ServerTest, AClientThatDoesNotReadIsDropped) {
  options_.idle_timeout = milliseconds(100);
  start();
  TestClient client(port(), 16 << 10);
  client.send(kGet);
  const auto id = sink_.next().id;
  respond_->head(id);
  respond_->chunk(id, std::string(8 << 20, 'x'));
  const auto cancel = sink_.next();
  EXPECT_EQ(cancel.kind, Kind::kCancel);
  EXPECT_EQ(cancel.error, "The client stopped reading the response.");
}

// Going away

TEST_F(ServerTest, TheShardLearnsThatTheClientWentAway) {
  start();
  for (int way = 0; way < 3; ++way) {
    auto [client, event] = request();
    if (way == 0) client->close();
    if (way == 1) client->reset();
    if (way == 2) client->shutdown();
    const auto cancel = sink_.next();
    EXPECT_EQ(cancel.kind, Kind::kCancel);
    EXPECT_EQ(cancel.id, event.id);
    EXPECT_EQ(cancel.error, "The client closed the connection.");
    respond_->whole(event.id, "dropped");
    respond_->consumed(event.id, 1);
  }
  EXPECT_EQ(sink_.next(kNothingComes).id, 0u);
}

TEST_F(ServerTest, TheShardLearnsItInTheMiddleOfAStream) {
  start();
  auto flight = request();
  respond_->head(flight.event.id);
  respond_->chunk(flight.event.id, "abc");
  flight.client->read_until("abc\r\n");
  flight.client->reset();
  EXPECT_EQ(sink_.next().kind, Kind::kCancel);
}

TEST_F(ServerTest, RequestIdsAreNeverUsedAgain) {
  start();
  RequestId last = 0;
  for (int i = 0; i < 20; ++i) {
    auto [client, event] = request();
    EXPECT_GT(event.id, last);
    last = event.id;
    respond_->whole(event.id, "a");
    client->read_response();
  }
}

// Stop

TEST_F(ServerTest, StopLetsRequestsFinish) {
  start();
  auto flight = request();
  TestClient idle(port());
  std::this_thread::sleep_for(kNothingComes);
  std::promise<void> stopped;
  server_->stop(std::chrono::seconds(5), [&] { stopped.set_value(); });
  EXPECT_TRUE(idle.ended());
  EXPECT_THROW(TestClient{port()}, std::runtime_error);
  auto done = stopped.get_future();
  EXPECT_EQ(done.wait_for(kNothingComes), std::future_status::timeout);
  respond_->whole(flight.event.id, "last");
  const auto response = flight.client->read_response();
  EXPECT_EQ(response.body, "last");
  EXPECT_THAT(response.head, HasSubstr("\r\nconnection: close\r\n"));
  EXPECT_EQ(done.wait_for(std::chrono::seconds(5)), std::future_status::ready);
}

TEST_F(ServerTest, StopEndsWhatTheGraceDoesNotCover) {
  start();
  auto flight = request();
  std::promise<void> stopped;
  server_->stop(milliseconds(80), [&] { stopped.set_value(); });
  EXPECT_EQ(stopped.get_future().wait_for(std::chrono::seconds(5)), std::future_status::ready);
  EXPECT_TRUE(flight.client->ended());
  const auto cancel = sink_.next();
  EXPECT_EQ(cancel.kind, Kind::kCancel);
  EXPECT_EQ(cancel.error, "The server stops.");
}

TEST_F(ServerTest, StopWithStreamAndGatedResponse) {
  start();
  auto stream = request();
  auto gated = request();
  respond_->head(stream.event.id);
  stream.client->read_until("\r\n\r\n");
  respond_->whole(gated.event.id, "gated", 3);
  std::promise<void> stopped;
  server_->stop(std::chrono::seconds(5), [&] { stopped.set_value(); });
  std::this_thread::sleep_for(kNothingComes);
  respond_->end(stream.event.id);
  durability_.advance(3);
  EXPECT_EQ(stream.client->read_to_end(), "0\r\n\r\n");
  EXPECT_EQ(gated.client->read_response().body, "gated");
  EXPECT_EQ(stopped.get_future().wait_for(std::chrono::seconds(5)), std::future_status::ready);
}

TEST_F(ServerTest, StopWithNothingOpen) {
  start();
  std::promise<void> stopped;
  server_->stop(std::chrono::seconds(5), [&] { stopped.set_value(); });
  EXPECT_EQ(stopped.get_future().wait_for(std::chrono::seconds(5)), std::future_status::ready);
}

TEST_F(ServerTest, DestroyedWithEverythingOpen) {
  start();
  auto flight = request();
  auto gated = request();
  TestClient half(port());
  half.send("GET / HT");
  respond_->whole(gated.event.id, "gated", 3);
  respond_.reset();
  server_.reset();
  EXPECT_TRUE(flight.client->ended(true));
  durability_.advance(3);
  EXPECT_EQ(gated.client->read_to_end(), "");
}

// Addresses and descriptors

TEST_F(ServerTest, APortInUse) {
  start();
  ServerOptions again;
  again.port = port();
  try {
    const Server second(again, {&sink_}, nullptr);
    FAIL() << "two servers on one port";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIo);
    EXPECT_EQ(std::string(error.what()),
              "Port " + std::to_string(port()) +
                  " on 127.0.0.1 is in use by another program; choose another with --port.");
  }
}

TEST_F(ServerTest, AHostThatIsNotHere) {
  options_.host = "192.0.2.1";
  try {
    start();
    FAIL() << "listens on an address of nobody";
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()),
              "Cannot listen on port 0 on 192.0.2.1: Cannot assign requested address.");
  }
  options_.host = "no such host";
  EXPECT_THROW(start(), Error);
}

TEST_F(ServerTest, LocalhostAndAnyAddress) {
  for (const auto* host : {"localhost", "0.0.0.0"}) {
    options_.host = host;
    start_echo();
    TestClient client(port());
    client.send(kGet);
    EXPECT_EQ(client.read_response().body, "hi") << host;
    respond_.reset();
    server_.reset();
  }
}

TEST_F(ServerTest, Ipv6) {
  if (!std::ifstream("/proc/net/if_inet6").good()) GTEST_SKIP() << "no IPv6 here";
  options_.host = "::1";
  start_echo();
  const int socket = ::socket(AF_INET6, SOCK_STREAM, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(port());
  address.sin6_addr = in6addr_loopback;
  ASSERT_EQ(::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_GT(::send(socket, kGet.data(), kGet.size(), 0), 0);
  char piece[256];
  const auto count = ::recv(socket, piece, sizeof piece, 0);
  EXPECT_THAT(std::string(piece, static_cast<std::size_t>(std::max<ssize_t>(count, 0))),
              StartsWith("HTTP/1.1 200 OK\r\n"));
  ::close(socket);
}

TEST_F(ServerTest, OutOfDescriptorsIsWaitedOutWithoutSpinning) {
  start_echo();
  TestClient client(port());  // its descriptor is here already
  client.send(kGet);
  EXPECT_EQ(client.read_response().body, "hi");
  TestClient late(port());
  late.send(kGet);
  EXPECT_EQ(late.read_response().body, "hi");

  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  auto waiting = std::make_unique<TestClient>(port());
  waiting->send(kGet);
  EXPECT_EQ(waiting->read_response().body, "hi");
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  rlimit none = before;
  none.rlim_cur = 3;
  setrlimit(RLIMIT_NOFILE, &none);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port());
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  rusage start_usage{};
  getrusage(RUSAGE_SELF, &start_usage);
  std::this_thread::sleep_for(milliseconds(300));
  rusage end_usage{};
  getrusage(RUSAGE_SELF, &end_usage);
  const auto used_us = [](const rusage& usage) {
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
  };
  EXPECT_LT(used_us(end_usage) - used_us(start_usage), 100'000);
  setrlimit(RLIMIT_NOFILE, &before);
  ASSERT_GT(::send(socket, kGet.data(), kGet.size(), 0), 0);
  char piece[256];
  EXPECT_GT(::recv(socket, piece, sizeof piece, 0), 0);
  ::close(socket);
}

}  // namespace
}  // namespace perdure::front
