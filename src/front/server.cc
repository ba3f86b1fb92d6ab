#ifdef __SANITIZE_THREAD__
// Asio's fences between handlers are unknown to the sanitizer, which only misses errors by that.
#pragma GCC diagnostic ignored "-Wtsan"
#endif

#include "front/server.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "front/connection.h"

namespace perdure::front {

namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;

constexpr int kListenBacklog = 4096;
constexpr int kAcceptsPerTurnMax = 64;
constexpr int kRoundsPerTurnMax = 64;      // then accepting and timers have their turn
constexpr std::size_t kRefusedMax = 64;    // connections that are told so; more are just closed
constexpr milliseconds kAcceptPause{100};  // when the process is out of descriptors
constexpr milliseconds kTickMin{10};
constexpr milliseconds kTickMax{500};

milliseconds monotonic_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::chrono::seconds(now.tv_sec) +
         std::chrono::duration_cast<milliseconds>(std::chrono::nanoseconds(now.tv_nsec));
}

[[noreturn]] void throw_cannot_listen(const std::string& host, std::uint16_t port,
                                      const error_code& reason) {
  const auto where = std::to_string(port) + " on " + host;
  if (reason == asio::error::address_in_use) {
    throw Error(ErrorCode::kIo,
                "Port " + where + " is in use by another program; choose another with --port.");
  }
  throw Error(ErrorCode::kIo, "Cannot listen on port " + where + ": " + reason.message() + ".");
}

}  // namespace

struct Server::Impl {
  Impl(ServerOptions options, std::vector<RequestSink*> request_sinks, Durability* durability);
  ~Impl();

  void listen();
  void run() noexcept;

  void accept_later(tcp::acceptor& acceptor);
  void accept_all(tcp::acceptor& acceptor);
  void add_connection(int socket);
  void close_acceptors();

  void look_at_clock();
  void run_turns();
  bool turn();
  void handle_ready();
  void handle_read_turns();
  void handle_responses();
  void handle_durable();
  void handle_flushes();
  void push_events();
  template <typename Action>
  void guarded(Connection& connection, Action action);

  void tick_later();
  void begin_stop(milliseconds grace, std::function<void()> on_stopped);
  void check_stopped();

  Shared shared;
  std::vector<RequestSink*> sinks;
  std::uint16_t port = 0;

  std::mutex inbox_mutex;
  std::vector<ResponseEvent> inbox;  // guarded by inbox_mutex

  std::vector<ResponseEvent> responses;
  std::vector<RequestId> released;
  std::vector<Connection*> working;
  bool poll_is_armed = false;
  bool turn_is_posted = false;
  bool poller_has_more = false;
  std::function<void()> stopped;

  // Destroyed first: its handlers point to what is above.
  asio::io_context io{1};
  std::vector<tcp::acceptor> acceptors;
  asio::posix::stream_descriptor poller_descriptor{io};
  asio::steady_timer tick_timer{io};
  asio::steady_timer accept_timer{io};
  asio::steady_timer grace_timer{io};
  std::thread thread;
};

Server::Impl::Impl(ServerOptions options, std::vector<RequestSink*> request_sinks,
                   Durability* durability)
    : shared(std::move(options), request_sinks.size(), durability),
      sinks(std::move(request_sinks)) {
  listen();
  if (!shared.poller.add(shared.waker.descriptor(), nullptr)) {
    throw Error(ErrorCode::kIo, "Cannot watch an eventfd.");
  }
  poller_descriptor.assign(shared.poller.descriptor());
  look_at_clock();
  asio::post(io, [this] {
    for (auto& acceptor : acceptors) accept_later(acceptor);
    tick_later();
    run_turns();
  });
  thread = std::thread([this] { run(); });
}

Server::Impl::~Impl() {
  io.stop();
  if (thread.joinable()) thread.join();
  // It belongs to the poller, which closes it.
  if (poller_descriptor.is_open()) poller_descriptor.release();
}

void Server::Impl::listen() {
  const ServerOptions& options = shared.options;
  tcp::resolver resolver(io);
  error_code error;
  const auto found =
      resolver.resolve(options.host, std::to_string(options.port),
                       tcp::resolver::passive | tcp::resolver::numeric_service, error);
  if (error) {
    throw Error(ErrorCode::kIo, "Cannot resolve the host name \"" + options.host +
                                    "\": " + error.message() + "; choose another with --host.");
  }
  port = options.port;
  error_code first_error;
  for (const auto& entry : found) {
    auto endpoint = entry.endpoint();
    endpoint.port(port);
    tcp::acceptor acceptor(io);
    acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.non_blocking(true, error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(kListenBacklog, error);
    if (error == asio::error::address_in_use) throw_cannot_listen(options.host, port, error);
    // A name may have addresses of a family that this machine does not have.
    if (error) {
      if (!first_error) first_error = error;
      continue;
    }
    port = acceptor.local_endpoint().port();
    acceptors.push_back(std::move(acceptor));
  }
  if (acceptors.empty()) throw_cannot_listen(options.host, options.port, first_error);
}

void Server::Impl::run() noexcept {
  for (;;) {
    try {
      io.run();
      return;
    } catch (const std::exception&) {
      // Out of memory outside of any connection. What was under way is taken up again below.
      poll_is_armed = false;
      turn_is_posted = false;
      asio::post(io, [this] { run_turns(); });
    }
  }
}

// Accepting

void Server::Impl::accept_later(tcp::acceptor& acceptor) {
  acceptor.async_wait(tcp::acceptor::wait_read, [this, &acceptor](const error_code& error) {
    if (!error && acceptor.is_open()) accept_all(acceptor);
  });
}

void Server::Impl::accept_all(tcp::acceptor& acceptor) {
  look_at_clock();
  for (int accepted = 0; accepted < kAcceptsPerTurnMax; ++accepted) {
    const int socket =
        ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (socket >= 0) {
      add_connection(socket);
      continue;
    }
    if (errno == EAGAIN) break;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The connection stays in the backlog, so waiting for it would spin.
      accept_timer.expires_after(kAcceptPause);
      accept_timer.async_wait([this, &acceptor](const error_code& error) {
        if (!error && acceptor.is_open()) accept_all(acceptor);
      });
      return run_turns();
    }
    // Anything else is about one connection that is gone already.
  }
  accept_later(acceptor);
  run_turns();
}

void Server::Impl::add_connection(int socket) {
  const std::size_t served = shared.connections.size() - shared.refused;
  const bool is_full = served >= shared.options.connections_max;
  if (is_full && shared.refused >= kRefusedMax) {
    ::close(socket);
    return;
  }
  std::unique_ptr<Connection> connection;
  try {
    connection = std::make_unique<Connection>(shared, socket);
  } catch (const std::exception&) {
    ::close(socket);
    return;
  }
  if (!shared.poller.add(socket, connection.get())) return;
  Connection& added = *connection;
  shared.connections.push_back(std::move(connection));
  if (is_full) guarded(added, [&] { added.refuse(); });
}

void Server::Impl::close_acceptors() {
  error_code ignored;
  for (auto& acceptor : acceptors) acceptor.close(ignored);
  accept_timer.cancel();
}

// Turns

void Server::Impl::look_at_clock() {
  shared.now = monotonic_now();
  shared.date.refresh();
}

// Takes turns until there is nothing to do, and then lets Asio wait for the poller.
void Server::Impl::run_turns() {
  if (!turn()) {
    if (std::exchange(turn_is_posted, true)) return;
    asio::post(io, [this] {
      turn_is_posted = false;
      run_turns();
    });
  } else if (!std::exchange(poll_is_armed, true)) {
    poller_descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                                 [this](const error_code& error) {
                                   poll_is_armed = false;
                                   if (!error) run_turns();
                                 });
  }
}

// True: nothing is left to do and whoever has something new makes the poller readable.
bool Server::Impl::turn() {
  for (int round = 0; round < kRoundsPerTurnMax; ++round) {
    shared.waker.awake();
    look_at_clock();
    handle_ready();
    handle_read_turns();
    push_events();
    handle_responses();
    handle_durable();
    handle_flushes();
    push_events();
    shared.closed.clear();
    check_stopped();
    if (!poller_has_more && shared.to_read.empty() && shared.to_flush.empty() &&
        shared.gate.prepare_sleep() && shared.waker.try_sleep()) {
      return true;
    }
  }
  return false;
}

// An error of one connection (out of memory) closes only this one.
template <typename Action>
void Server::Impl::guarded(Connection& connection, Action action) {
  try {
    action();
  } catch (const std::exception& error) {
    connection.fail(error.what());
  }
}

void Server::Impl::handle_ready() {
  const auto ready = shared.poller.poll();
  poller_has_more = ready.size() == Poller::kEventsPerPollMax;
  for (const epoll_event& event : ready) {
    if (event.data.ptr == nullptr) continue;  // the waker has done its work
    auto& connection = *static_cast<Connection*>(event.data.ptr);
    guarded(connection, [&] { connection.on_ready(event.events); });
  }
}

void Server::Impl::handle_read_turns() {
  if (shared.to_read.empty()) return;
  working.swap(shared.to_read);
  for (Connection* connection : working) {
    guarded(*connection, [&] { connection->on_read_turn(); });
  }
  working.clear();
}

void Server::Impl::handle_responses() {
  {
    const std::lock_guard lock(inbox_mutex);
    if (inbox.empty()) return;
    responses.swap(inbox);
  }
  for (ResponseEvent& event : responses) {
    const auto found = shared.requests.find(event.id);
    if (found == shared.requests.end()) continue;
    Connection& connection = *found->second;
    guarded(connection, [&] { connection.on_response(event); });
  }
  responses.clear();
}

void Server::Impl::handle_durable() {
  shared.gate.release(released);
  for (const RequestId id : released) {
    const auto found = shared.requests.find(id);
    if (found == shared.requests.end()) continue;
    Connection& connection = *found->second;
    guarded(connection, [&] { connection.on_durable(); });
  }
  released.clear();
}

void Server::Impl::handle_flushes() {
  // A flush can start the next request of its connection, which can have output at once.
  for (std::size_t i = 0; i < shared.to_flush.size(); ++i) {
    Connection& connection = *shared.to_flush[i];
    guarded(connection, [&] { connection.on_flush(); });
  }
  shared.to_flush.clear();
}

void Server::Impl::push_events() {
  for (std::size_t i = 0; i < sinks.size(); ++i) {
    auto& events = shared.events[i];
    if (events.empty()) continue;
    sinks[i]->push(events);
    events.clear();
  }
}

// Time and the end

void Server::Impl::tick_later() {
  const auto shortest = std::min(shared.options.header_timeout, shared.options.idle_timeout);
  tick_timer.expires_after(std::clamp(shortest / 4, kTickMin, kTickMax));
  tick_timer.async_wait([this](const error_code& error) {
    if (error) return;
    look_at_clock();
    // Backwards: closing one puts the last in its place.
    for (std::size_t i = shared.connections.size(); i-- > 0;) {
      Connection& connection = *shared.connections[i];
      guarded(connection, [&] { connection.on_tick(); });
    }
    tick_later();
    run_turns();
  });
}

void Server::Impl::begin_stop(milliseconds grace, std::function<void()> on_stopped) {
  look_at_clock();
  // Who has connected already is still served.
  for (auto& acceptor : acceptors) accept_all(acceptor);
  close_acceptors();
  shared.stopping = true;
  stopped = std::move(on_stopped);
  for (std::size_t i = shared.connections.size(); i-- > 0;) {
    Connection& connection = *shared.connections[i];
    guarded(connection, [&] { connection.on_stop(); });
  }
  grace_timer.expires_after(grace);
  grace_timer.async_wait([this](const error_code& error) {
    if (error) return;
    for (std::size_t i = shared.connections.size(); i-- > 0;) {
      shared.connections[i]->fail("The server stops.");
    }
    run_turns();
  });
  run_turns();
}

void Server::Impl::check_stopped() {
  if (!shared.stopping || !shared.connections.empty() || !stopped) return;
  grace_timer.cancel();
  std::exchange(stopped, nullptr)();
}

Server::Server(ServerOptions options, std::vector<RequestSink*> sinks, Durability* durability)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(sinks), durability)) {}

Server::~Server() = default;

std::uint16_t Server::port() const noexcept { return impl_->port; }

void Server::send(std::vector<ResponseEvent>& events) {
  if (events.empty()) return;
  {
    const std::lock_guard lock(impl_->inbox_mutex);
    if (impl_->inbox.empty()) {
      impl_->inbox.swap(events);
    } else {
      for (ResponseEvent& event : events) impl_->inbox.push_back(std::move(event));
      events.clear();
    }
  }
  impl_->shared.waker.signal();
}

void Server::stop(milliseconds grace, std::function<void()> stopped) {
  asio::post(impl_->io, [impl = impl_.get(), grace, done = std::move(stopped)]() mutable {
    impl->begin_stop(grace, std::move(done));
  });
}

}  // namespace perdure::front
