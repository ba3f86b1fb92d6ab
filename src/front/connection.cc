#include "front/connection.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <functional>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace perdure::front {

namespace {

using std::chrono::milliseconds;

constexpr int kReadsPerTurnMax = 4;  // then the other connections have their turn
constexpr std::size_t kPendingRetainedBytes = 4 << 10;  // capacity kept while there is nothing
constexpr milliseconds kLingerTimeout{2'000};

constexpr std::string_view kClientClosed = "The client closed the connection.";
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr RequestFault kTooManyConnections{503, "Too many connections.\n"};
constexpr RequestFault kTimeout{408, "The request did not arrive in time.\n"};

bool is_last(ResponseEvent::Kind kind) {
  using Kind = ResponseEvent::Kind;
  return kind == Kind::kWhole || kind == Kind::kEnd || kind == Kind::kAbort;
}

}  // namespace

Connection::Connection(Shared& shared, int socket)
    : shared_(shared),
      own_events_(&shared.events[shared.next_sink++ % shared.events.size()]),
      events_(own_events_),
      socket_(socket),
      index_(shared.connections.size()),
      parser_(shared.options.header_bytes_max, shared.options.body_bytes_max) {
  const int on = 1;
  // Responses are written whole; waiting for more to send would only delay them.
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  set_deadline(shared_.options.idle_timeout);
}

Connection::~Connection() {
  if (socket_ >= 0) ::close(socket_);
}

void Connection::refuse() {
  refused_ = true;
  ++shared_.refused;
  answer_fault(kTooManyConnections);
}

void Connection::on_ready(std::uint32_t flags) {
  if (phase_ == Phase::kClosed) return;
  // A client that has closed its sending side counts as gone: while it waits for a response there
  // is no other sign of one that has closed the connection.
  if ((flags & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) return fail(kClientClosed);
  if ((flags & EPOLLOUT) != 0 && !output_.empty()) on_flush();
  if ((flags & EPOLLIN) != 0 && phase_ != Phase::kClosed) {
    readable_ = true;
    read();
  }
}

void Connection::on_read_turn() {
  in_to_read_ = false;
  if (phase_ != Phase::kClosed) read();
}

// Input

bool Connection::wants_input() const {
  switch (phase_) {
    case Phase::kRequest:
      return !input_broken_ && !parser_.body_complete() &&
             unconsumed_ < shared_.options.body_window_bytes;
    case Phase::kClosed:
      return false;
    default:
      return true;
  }
}

void Connection::read() {
  for (int reads = 0; readable_ && wants_input(); ++reads) {
    if (reads == kReadsPerTurnMax) return read_later();
    auto& buffer = shared_.read_buffer;
    const auto count = ::recv(socket_, buffer.data(), buffer.size(), 0);
    if (count > 0) {
      // Less than asked for: the rest of what comes is announced by the poller.
      readable_ = static_cast<std::size_t>(count) == buffer.size();
      take_input({buffer.data(), static_cast<std::size_t>(count)});
    } else if (count < 0 && errno == EAGAIN) {
      readable_ = false;
    } else if (count == 0 || errno != EINTR) {
      return fail(kClientClosed);
    }
  }
}

void Connection::read_later() {
  if (in_to_read_) return;
  in_to_read_ = true;
  shared_.to_read.push_back(this);
}

void Connection::take_input(std::string_view input) {
  if (pending_.empty()) {
    const auto used = parse(input);
    if (used < input.size()) pending_.assign(input.substr(used));
  } else {
    pending_.erase(0, std::exchange(pending_from_, 0));
    pending_.append(input);
    parse_pending();
  }
}

void Connection::parse_pending() {
  if (pending_.empty()) return;
  pending_from_ += parse(std::string_view(pending_).substr(pending_from_));
  if (pending_from_ < pending_.size()) return;
  pending_.clear();
  pending_from_ = 0;
  if (pending_.capacity() > kPendingRetainedBytes) pending_.shrink_to_fit();
}

std::size_t Connection::parse(std::string_view input) {
  std::size_t used = 0;
  while (used < input.size()) {
    std::size_t step = 0;
    switch (phase_) {
      case Phase::kIdle:
      case Phase::kHead:
        used += parse_head(input.substr(used));
        if (phase_ == Phase::kIdle || phase_ == Phase::kHead) return used;
        break;
      case Phase::kRequest:
      case Phase::kDiscard:
        if (!wants_input()) return used;
        step = parse_body(input.substr(used));
        if (step == 0) return used;
        used += step;
        break;
      case Phase::kLinger:
      case Phase::kClosed:
        return input.size();
    }
  }
  return used;
}

std::size_t Connection::parse_head(std::string_view input) {
  const auto used = parser_.parse_head(input);
  if (parser_.fault()) {
    answer_fault(parser_.fault());
  } else if (parser_.head_complete()) {
    start_request();
  } else if (phase_ == Phase::kIdle && (parser_.head_started() || used < input.size())) {
    phase_ = Phase::kHead;
    set_deadline(shared_.options.header_timeout);
  }
  return used;
}

void Connection::start_request() {
  phase_ = Phase::kRequest;
  request_ = ++shared_.last_request;
  shared_.requests.emplace(request_, this);
  unconsumed_ = 0;
  unacknowledged_ = 0;
  answered_ = false;
  head_sent_ = false;
  finished_ = false;
  chunked_ = false;
  body_left_.reset();

  std::string head = parser_.take_head();
  route(head);
  RequestEvent& event = events_->emplace_back();
  event.kind = RequestEvent::Kind::kRequest;
  event.id = request_;
  event.head = std::move(head);
  event.body_complete = parser_.body_complete();
  if (parser_.expects_continue() && !event.body_complete) output(kContinue);
  update_request_deadline();
}

// Where the last request for the same target was better off, or to the connection's own sink.
void Connection::route(std::string_view head) {
  if (shared_.events.size() == 1) return;
  const std::size_t method_end = head.find('\n');
  const std::string_view target = head.substr(0, head.find('\n', method_end + 1));
  route_ = std::hash<std::string_view>{}(target) % Shared::kRoutes;
  const std::uint16_t sink = shared_.routes[route_];
  const bool is_known = sink != 0 && sink != Shared::kManyRoutes;
  events_ = is_known ? &shared_.events[sink - 1] : own_events_;
}

// Of a target whose requests go to several sinks, one must not get them all.
void Connection::note_route(std::uint16_t sink) {
  if (sink == 0 || sink > shared_.events.size() || shared_.routes.empty()) return;
  std::uint16_t& known = shared_.routes[route_];
  known = known == 0 || known == sink ? sink : Shared::kManyRoutes;
}

std::size_t Connection::parse_body(std::string_view input) {
  std::string part;
  const auto used = parser_.parse_body(input, part);
  const bool complete = parser_.body_complete();
  if (phase_ == Phase::kDiscard) {
    set_deadline(shared_.options.idle_timeout);
    if (parser_.fault()) {
      answer_fault(parser_.fault());
    } else if (complete) {
      become_idle();
    }
    return used;
  }
  if (!part.empty() || complete) hand_over(std::move(part), complete);
  if (parser_.fault()) answer_fault(parser_.fault());
  return used;
}

void Connection::hand_over(std::string part, bool complete) {
  unconsumed_ += part.size();
  const bool joins = !events_->empty() && events_->back().id == request_ &&
                     events_->back().kind != RequestEvent::Kind::kWritable;
  if (!joins) {
    RequestEvent& event = events_->emplace_back();
    event.kind = RequestEvent::Kind::kBody;
    event.id = request_;
  }
  RequestEvent& event = events_->back();
  if (event.body.empty()) {
    event.body = std::move(part);
  } else {
    event.body += part;
  }
  event.body_complete = complete;
  update_request_deadline();
}

void Connection::answer_fault(const RequestFault& fault) {
  input_broken_ = true;
  if (phase_ == Phase::kDiscard) return linger();
  if (phase_ == Phase::kRequest) {
    // What the shard has answered is still sent, and then the connection ends.
    if (answered_) return update_request_deadline();
    if (head_sent_) return fail(fault.message);
    cancel_request(fault.message);
    forget_request();
  }
  output(error_response(fault.status, fault.message, shared_.date.text()));
  linger();
}

// Output

void Connection::on_response(ResponseEvent& event) {
  if (event.kind == ResponseEvent::Kind::kConsumed) return on_consumed(event.consumed);
  // Nothing may follow the last event; there is nobody to tell.
  if (answered_) return;
  answered_ = is_last(event.kind);
  note_route(event.next_sink);
  if (event.kind == ResponseEvent::Kind::kChunk) unacknowledged_ += event.body.size();
  if (waiting_.empty() && shared_.gate.is_open(event.depends_on)) {
    apply(event);
  } else {
    if (waiting_.empty()) shared_.gate.wait(event.depends_on, request_);
    waiting_bytes_ += event.body.size();
    waiting_.push_back(std::move(event));
  }
  check_writable();
}

void Connection::on_durable() {
  std::size_t done = 0;
  while (phase_ == Phase::kRequest && done < waiting_.size() &&
         shared_.gate.is_open(waiting_[done].depends_on)) {
    // Out of the list, because what it does can empty the list.
    ResponseEvent event = std::move(waiting_[done++]);
    waiting_bytes_ -= event.body.size();
    apply(event);
  }
  if (phase_ != Phase::kRequest) return;
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(done));
  if (!waiting_.empty()) shared_.gate.wait(waiting_.front().depends_on, request_);
  check_writable();
}

void Connection::apply(ResponseEvent& event) {
  if (!is_sendable(event)) return fail("The response has its parts in the wrong order.");
  switch (event.kind) {
    case ResponseEvent::Kind::kWhole:
      return apply_whole(event);
    case ResponseEvent::Kind::kHead:
      return apply_head(event);
    case ResponseEvent::Kind::kChunk:
      return apply_chunk(event.body);
    case ResponseEvent::Kind::kEnd:
      return apply_end();
    case ResponseEvent::Kind::kAbort:
      return apply_abort("The response was aborted.");
    case ResponseEvent::Kind::kConsumed:
      return;
  }
}

bool Connection::is_sendable(const ResponseEvent& event) const {
  switch (event.kind) {
    case ResponseEvent::Kind::kWhole:
    case ResponseEvent::Kind::kHead:
      return !head_sent_;
    case ResponseEvent::Kind::kChunk:
    case ResponseEvent::Kind::kEnd:
      return head_sent_;
    default:
      return true;
  }
}

// Writes the status line and the caller's headers into the scratch buffer.
CallerHeaders Connection::begin_head(const ResponseEvent& event) {
  head_sent_ = true;
  bodyless_ = parser_.is_head_request() || has_no_body(event.status);
  shared_.scratch.clear();
  std::string_view head = event.head;
  const auto reason = take_reason(head);
  append_status_line(shared_.scratch, event.status, reason);
  auto caller = append_caller_headers(shared_.scratch, head);
  // No client takes an informational status for the end of a response.
  caller.close = caller.close || event.status < 200;
  return caller;
}

void Connection::end_head(const CallerHeaders& caller) {
  const bool self_delimiting = bodyless_ || chunked_ || body_left_.has_value();
  keep_alive_ = self_delimiting && parser_.keep_alive() && !caller.close && !shared_.stopping &&
                !input_broken_;
  std::string& out = shared_.scratch;
  out += shared_.date.text();
  if (!keep_alive_) {
    out += "connection: close\r\n";
  } else if (!parser_.is_http_1_1()) {
    out += "connection: keep-alive\r\n";
  }
  out += "\r\n";
}

void Connection::apply_whole(ResponseEvent& event) {
  const auto caller = begin_head(event);
  std::string& out = shared_.scratch;
  body_left_ = event.body.size();
  if (!has_no_body(event.status)) {
    const bool announced_only = bodyless_ && event.body.empty() && caller.content_length;
    append_content_length(out, announced_only ? *caller.content_length : event.body.size());
  } else if (event.status == 304 && caller.content_length) {
    append_content_length(out, *caller.content_length);
  }
  end_head(caller);
  if (!bodyless_ && event.body.size() < OutputQueue::kLargeBytes) out += event.body;
  output(out);
  if (!bodyless_ && event.body.size() >= OutputQueue::kLargeBytes) {
    output_.append(std::move(event.body));
  }
  finish_response();
}

void Connection::apply_head(const ResponseEvent& event) {
  const auto caller = begin_head(event);
  std::string& out = shared_.scratch;
  if (caller.content_length && (!has_no_body(event.status) || event.status == 304)) {
    append_content_length(out, *caller.content_length);
  }
  if (!bodyless_) {
    body_left_ = caller.content_length;
    // A client of HTTP/1.0 knows the end by the end of the connection.
    chunked_ = !body_left_ && parser_.is_http_1_1();
    if (chunked_) out += "transfer-encoding: chunked\r\n";
  }
  end_head(caller);
  output(out);
}

void Connection::apply_chunk(std::string& body) {
  if (bodyless_ || body.empty()) return;
  if (body_left_) {
    if (body.size() > *body_left_) {
      return apply_abort("The response is longer than its content-length.");
    }
    *body_left_ -= body.size();
  }
  if (chunked_) {
    std::array<char, 18> size_line;
    auto* end = std::to_chars(size_line.data(), size_line.data() + 16, body.size(), 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    output({size_line.data(), static_cast<std::size_t>(end - size_line.data())});
  }
  output_.append(std::move(body));
  if (chunked_) output_.append(std::string_view("\r\n"));
  flush_later();
}

void Connection::apply_end() {
  if (body_left_.value_or(0) != 0 && !bodyless_) {
    return apply_abort("The response is shorter than its content-length.");
  }
  if (chunked_) output("0\r\n\r\n");
  finish_response();
}

void Connection::apply_abort(std::string_view why) {
  // What came before is still sent as far as the socket takes it at once.
  output_.send_to(socket_);
  if (!chunked_ && !body_left_) {
    // Only a reset tells the client that the end of the connection is not the end of the body.
    const struct linger reset { 1, 0 };
    setsockopt(socket_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  }
  fail(why);
}

void Connection::on_consumed(std::uint64_t bytes) {
  unconsumed_ -= std::min(bytes, unconsumed_);
  parse_pending();
  if (phase_ == Phase::kClosed) return;
  read();
  if (phase_ == Phase::kRequest) update_request_deadline();
}

void Connection::check_writable() {
  const auto limit = shared_.options.response_buffer_bytes_max;
  if (phase_ != Phase::kRequest || unacknowledged_ <= limit || answered_) return;
  if (waiting_bytes_ + output_.size() >= limit / 2) return;
  unacknowledged_ = 0;
  RequestEvent& event = events_->emplace_back();
  event.kind = RequestEvent::Kind::kWritable;
  event.id = request_;
}

void Connection::output(std::string_view bytes) {
  output_.append(bytes);
  flush_later();
}

void Connection::flush_later() {
  if (in_to_flush_) return;
  in_to_flush_ = true;
  shared_.to_flush.push_back(this);
}

void Connection::finish_response() {
  finished_ = true;
  flush_later();
}

void Connection::on_flush() {
  in_to_flush_ = false;
  if (phase_ == Phase::kClosed) return;
  const auto result = output_.send_to(socket_);
  if (result == OutputQueue::Result::kFailed) return fail(kClientClosed);
  if (phase_ == Phase::kRequest) {
    check_writable();
    if (finished_ && output_.empty()) return end_request();
    update_request_deadline();
  } else if (phase_ == Phase::kLinger && output_.empty() && !shut_down_) {
    shut_down_ = true;
    ::shutdown(socket_, SHUT_WR);
  }
}

void Connection::end_request() {
  forget_request();
  if (!keep_alive_ || input_broken_ || shared_.stopping) {
    const bool all_read = parser_.body_complete() && !readable_ && pending_.empty();
    return all_read ? close() : linger();
  }
  if (parser_.body_complete()) {
    become_idle();
  } else {
    phase_ = Phase::kDiscard;
    set_deadline(shared_.options.idle_timeout);
  }
  parse_pending();
  read();
}

void Connection::become_idle() {
  phase_ = Phase::kIdle;
  parser_.reset();
  set_deadline(shared_.options.idle_timeout);
}

// Time and the end

void Connection::on_tick() {
  if (deadline_.count() == 0 || shared_.now < deadline_) return;
  clear_deadline();
  if (phase_ == Phase::kRequest && !output_.empty()) {
    fail("The client stopped reading the response.");
  } else if (phase_ == Phase::kHead || phase_ == Phase::kRequest) {
    answer_fault(kTimeout);
  } else {
    close();
  }
}

void Connection::on_stop() {
  if (phase_ == Phase::kDiscard) return close();
  if (phase_ != Phase::kIdle) return;
  // A request that has arrived already is still served.
  readable_ = true;
  read();
  if (phase_ == Phase::kIdle) close();
}

void Connection::fail(std::string_view why) {
  cancel_request(why);
  close();
}

void Connection::cancel_request(std::string_view why) {
  if (phase_ != Phase::kRequest || answered_) return;
  RequestEvent& event = events_->emplace_back();
  event.kind = RequestEvent::Kind::kCancel;
  event.id = request_;
  event.error = why;
  if (!event.error.empty() && event.error.back() == '\n') event.error.pop_back();
}

void Connection::forget_request() {
  shared_.requests.erase(request_);
  waiting_.clear();
  waiting_bytes_ = 0;
}

void Connection::linger() {
  phase_ = Phase::kLinger;
  set_deadline(kLingerTimeout);
  flush_later();
  read_later();
}

void Connection::close() noexcept {
  if (phase_ == Phase::kClosed) return;
  if (phase_ == Phase::kRequest) forget_request();
  phase_ = Phase::kClosed;
  ::close(std::exchange(socket_, -1));
  if (refused_) --shared_.refused;
  if (in_to_read_) std::erase(shared_.to_read, this);
  auto& open = shared_.connections;
  shared_.closed.push_back(std::move(open[index_]));
  if (index_ + 1 < open.size()) {
    open[index_] = std::move(open.back());
    open[index_]->index_ = index_;
  }
  open.pop_back();
}

void Connection::set_deadline(milliseconds after) { deadline_ = shared_.now + after; }

// While the client is to send or to take something, it has to make progress.
void Connection::update_request_deadline() {
  const bool waits_for_client = !output_.empty() || (wants_input() && phase_ == Phase::kRequest);
  if (waits_for_client) {
    set_deadline(shared_.options.idle_timeout);
  } else {
    clear_deadline();
  }
}

}  // namespace perdure::front
