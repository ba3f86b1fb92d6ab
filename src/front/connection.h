#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "front/gate.h"
#include "front/output_queue.h"
#include "front/poller.h"
#include "front/request_parser.h"
#include "front/response_head.h"
#include "front/server.h"
#include "front/waker.h"

namespace perdure::front {

class Connection;

// What the connections of one server share. Only the front's thread touches it (but the waker).
struct Shared {
  static constexpr std::size_t kReadBytes = 64 << 10;
  static constexpr std::size_t kRoutes = 64 << 10;
  static constexpr std::uint16_t kManyRoutes = 0xffff;

  Shared(ServerOptions server_options, std::size_t sinks, Durability* durability)
      : options(std::move(server_options)), gate(durability, waker), events(sinks) {
    if (sinks > 1) routes.resize(kRoutes);
  }

  const ServerOptions options;
  Waker waker;
  Poller poller;
  Gate gate;
  DateLine date;
  std::chrono::milliseconds now{0};  // of the monotonic clock, as of this turn
  bool stopping = false;

  std::vector<std::unique_ptr<Connection>> connections;        // open
  std::vector<std::unique_ptr<Connection>> closed;             // freed at the end of the turn
  std::size_t refused = 0;                                     // open ones that only get a 503
  boost::unordered_flat_map<RequestId, Connection*> requests;  // in flight
  RequestId last_request = 0;

  std::vector<std::vector<RequestEvent>> events;  // for each sink, at the end of the turn
  std::size_t next_sink = 0;                      // of the next connection
  // By the hash of method and target: which sink (from 1) is to get such requests; 0 or
  // kManyRoutes: any.
  std::vector<std::uint16_t> routes;
  std::vector<Connection*> to_flush;         // have output since the last flush
  std::vector<Connection*> to_read;          // had more to read than one turn allows
  std::string scratch;                       // where a response head is written
  std::array<char, kReadBytes> read_buffer;  // only what cannot be parsed yet is copied out of it
};

// One client: reads requests one after another, sends the response of each before it looks at the
// next, and holds back what is not durable yet. Belongs to the front's thread. Any call may close
// the connection; it is freed only at the end of the turn.
class Connection {
 public:
  // Takes the socket, which is non-blocking and not yet watched.
  Connection(Shared& shared, int socket);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Answers 503 and closes: there are too many connections.
  void refuse();
  // The poller says that the socket is ready.
  void on_ready(std::uint32_t flags);
  // Goes on reading where a turn left off.
  void on_read_turn();
  // From the shard, for the request in flight.
  void on_response(ResponseEvent& event);
  // The log is durable as far as the first response that waits here needs it.
  void on_durable();
  // Writes what this turn has gathered.
  void on_flush();
  // Looks at the deadline.
  void on_tick();
  // The server stops: closes the connection unless a request is in flight.
  void on_stop();
  // Closes it, whatever it is doing.
  void fail(std::string_view why);

 private:
  enum class Phase : std::uint8_t {
    kIdle,     // between requests
    kHead,     // a part of a request's head is here
    kRequest,  // in flight: the shard has it
    kDiscard,  // answered, but the rest of its body is still to come
    kLinger,   // sends the last response and then waits for the client to close, so that what the
               // client is still sending does not destroy the response on its way
    kClosed,
  };

  // Input.
  [[nodiscard]] bool wants_input() const;
  void read();
  void take_input(std::string_view input);
  void parse_pending();
  void read_later();
  std::size_t parse(std::string_view input);
  std::size_t parse_head(std::string_view input);
  std::size_t parse_body(std::string_view input);
  void start_request();
  void route(std::string_view head);
  void note_route(std::uint16_t sink);
  void hand_over(std::string part, bool complete);
  void answer_fault(const RequestFault& fault);

  // Output.
  void apply(ResponseEvent& event);
  void apply_whole(ResponseEvent& event);
  void apply_head(const ResponseEvent& event);
  void apply_chunk(std::string& body);
  void apply_end();
  void apply_abort(std::string_view why);
  CallerHeaders begin_head(const ResponseEvent& event);
  void end_head(const CallerHeaders& caller);
  [[nodiscard]] bool is_sendable(const ResponseEvent& event) const;
  void on_consumed(std::uint64_t bytes);
  void check_writable();
  void output(std::string_view bytes);
  void flush_later();
  void finish_response();
  void end_request();
  void become_idle();

  void forget_request();
  void cancel_request(std::string_view why);
  void linger();
  void close() noexcept;
  void set_deadline(std::chrono::milliseconds after);
  void clear_deadline() { deadline_ = {}; }
  void update_request_deadline();

  Shared& shared_;
  // For the sinks: the one of this client, and the one of its request in flight.
  std::vector<RequestEvent>* own_events_;
  std::vector<RequestEvent>* events_;
  std::size_t route_ = 0;  // of the request in flight, in shared_.routes
  int socket_;
  std::size_t index_;  // in shared_.connections
  Phase phase_ = Phase::kIdle;

  bool readable_ = false;      // the socket may have bytes that were not read
  bool in_to_flush_ = false;   // listed there
  bool in_to_read_ = false;    // listed there
  bool refused_ = false;       // counted in shared_.refused
  bool shut_down_ = false;     // our side is closed
  bool input_broken_ = false;  // nothing more can be parsed
  RequestParser parser_;
  std::string pending_;  // arrived, but not parsed: half a head, the next request
  std::size_t pending_from_ = 0;

  // The request in flight.
  RequestId request_ = 0;
  std::uint64_t unconsumed_ = 0;  // bytes of its body that the shard has not used up
  bool answered_ = false;         // the shard has sent the last event of its response
  bool head_sent_ = false;
  bool finished_ = false;  // the whole response is in output_
  bool keep_alive_ = true;
  bool chunked_ = false;
  bool bodyless_ = false;                   // HEAD, 204, 304: the body is not sent
  std::uint64_t unacknowledged_ = 0;        // bytes of chunks since the last kWritable
  std::optional<std::uint64_t> body_left_;  // of the content-length that the response announced

  std::vector<ResponseEvent> waiting_;  // for the log, in order
  std::size_t waiting_bytes_ = 0;
  OutputQueue output_;
  std::chrono::milliseconds deadline_{0};  // of shared_.now; 0: none
};

}  // namespace perdure::front
