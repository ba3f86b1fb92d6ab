#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <benchmark/benchmark.h>
#include <sys/epoll.h>

#include "front/server.h"
#include "front/test_client.h"

namespace perdure::front {
namespace {

// Answers each request with the body it came with, on the front's own thread.
class EchoSink final : public RequestSink {
 public:
  Server* server = nullptr;

  void push(std::vector<RequestEvent>& events) override {
    for (RequestEvent& event : events) {
      if (event.kind != RequestEvent::Kind::kRequest) continue;
      ResponseEvent& response = responses_.emplace_back();
      response.id = event.id;
      response.head = "content-type: text/plain\r\n";
      response.body = std::move(event.body);
    }
    events.clear();
    server->send(responses_);
  }

 private:
  std::vector<ResponseEvent> responses_;
};

// Keep-alive connections that each have one request on its way, all served by one thread. An
// iteration is one request.
void echo(benchmark::State& state) {
  const auto connections = static_cast<std::size_t>(state.range(0));
  const std::string body(static_cast<std::size_t>(state.range(1)), 'x');
  const std::string request =
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + std::to_string(body.size()) +
      "\r\n\r\n" + body;
  EchoSink sink;
  ServerOptions options;
  options.port = 0;
  Server server(options, {&sink}, nullptr);
  sink.server = &server;

  std::vector<std::unique_ptr<TestClient>> clients;
  for (std::size_t i = 0; i < connections; ++i) {
    clients.push_back(std::make_unique<TestClient>(server.port()));
  }
  const std::size_t response_bytes = [&] {
    clients[0]->send(request);
    const auto response = clients[0]->read_response();
    return response.head.size() + response.body.size();
  }();

  const int poller = epoll_create1(EPOLL_CLOEXEC);
  for (auto& client : clients) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = client.get();
    epoll_ctl(poller, EPOLL_CTL_ADD, client->descriptor(), &event);
    client->send(request);
  }
  std::array<epoll_event, 64> ready;
  int left = 0;
  for (auto _ : state) {
    if (left == 0) left = epoll_wait(poller, ready.data(), ready.size(), -1);
    auto& client = *static_cast<TestClient*>(ready[static_cast<std::size_t>(--left)].data.ptr);
    benchmark::DoNotOptimize(client.read(response_bytes));
    client.send(request);
  }
  ::close(poller);
  state.counters["requests"] =
      benchmark::Counter(static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
}
BENCHMARK(echo)
    ->ArgNames({"connections", "body_bytes"})
    ->Args({1, 2})
    ->Args({32, 2})
    ->Args({32, 4096})
    ->Args({256, 2})
    ->UseRealTime();

}  // namespace
}  // namespace perdure::front
