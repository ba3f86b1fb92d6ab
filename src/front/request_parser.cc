#ifdef __SANITIZE_ADDRESS__
// With the sanitizer GCC 12 sees an optional in Beast's parser as possibly not set. It is.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include "front/request_parser.h"

#include <functional>

#include <boost/beast/core/string.hpp>
#include <boost/beast/http/error.hpp>

namespace perdure::front {

namespace http = boost::beast::http;

namespace {

// Enough for the head of most requests in one allocation.
constexpr std::size_t kHeadReserveBytes = 480;

// The shortest end of a chunked body: "0\r\n\r\n". Beast asserts that it sees no less at its end.
constexpr std::size_t kLastChunkBytesMin = 5;

constexpr RequestFault kHeaderTooLarge{431, "Request header is too large.\n"};
constexpr RequestFault kBodyTooLarge{413, "Request body is too large.\n"};
constexpr RequestFault kBadVersion{505, "Only HTTP/1.0 and HTTP/1.1 are supported.\n"};
constexpr RequestFault kMalformed{400, "Malformed request.\n"};

char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// Beast joins a value that goes on in the next line (obsolete line folding) from pieces, either in
// a buffer of its own or by skipping an empty first line. Otherwise the value lies in the input,
// with only blanks between it and the colon.
bool is_folded(std::string_view input, std::string_view name, std::string_view value) {
  const char* colon = name.data() + name.size();
  const std::less<const char*> before;
  if (before(value.data(), colon) || before(input.data() + input.size(), value.data())) return true;
  const std::string_view between(colon + 1, static_cast<std::size_t>(value.data() - colon - 1));
  return between.find_first_not_of(" \t") != std::string_view::npos;
}

}  // namespace

RequestParser::RequestParser(std::size_t header_bytes_max, std::uint64_t body_bytes_max)
    : header_bytes_max_(header_bytes_max), body_bytes_max_(body_bytes_max) {
  reset();
}

void RequestParser::reset() {
  message_.emplace();
  message_->header_limit(static_cast<std::uint32_t>(header_bytes_max_));
  message_->body_limit(body_bytes_max_);
  header_bytes_ = 0;
  fault_ = {};
}

std::size_t RequestParser::parse_head(std::string_view input) {
  std::size_t used = 0;
  if (header_bytes_ == 0) {
    // Empty lines before a request are to be ignored (RFC 9112, 2.2).
    while (used < input.size() && (input[used] == '\r' || input[used] == '\n')) ++used;
    if (used == input.size()) return used;
  }
  message_->input = input;
  ErrorCode error;
  const auto parsed = message_->put({input.data() + used, input.size() - used}, error);
  header_bytes_ += parsed;
  used += parsed;
  const auto waiting = message_->is_header_done() ? 0 : input.size() - used;
  if (error && error != http::error::need_more) {
    note_fault(error);
  } else if (header_bytes_ + waiting > header_bytes_max_) {
    fault_ = kHeaderTooLarge;
  }
  return used;
}

std::size_t RequestParser::parse_body(std::string_view input, std::string& body) {
  message_->input = input;
  message_->body = &body;
  std::size_t used = 0;
  while (used < input.size() && !message_->is_done()) {
    const auto left = input.size() - used;
    if (message_->chunked() && message_->chunk_left == 0 && left < kLastChunkBytesMin) break;
    ErrorCode error;
    used += message_->put({input.data() + used, left}, error);
    if (error == http::error::need_more) {
      // A line of chunk extensions or trailers.
      if (input.size() - used > header_bytes_max_) fault_ = kMalformed;
      break;
    }
    if (error) {
      note_fault(error);
      break;
    }
  }
  return used;
}

void RequestParser::note_fault(const ErrorCode& error) {
  if (message_->fault) {
    fault_ = message_->fault;
  } else if (error == http::error::header_limit) {
    fault_ = kHeaderTooLarge;
  } else if (error == http::error::body_limit) {
    fault_ = kBodyTooLarge;
  } else if (error == http::error::bad_version) {
    fault_ = kBadVersion;
  } else {
    fault_ = kMalformed;
  }
}

void RequestParser::Message::refuse(std::uint16_t status, std::string_view message,
                                    ErrorCode& error) {
  fault = {status, message};
  error = http::error::bad_value;
}

void RequestParser::Message::on_request_impl(Verb method_verb, View method, View target,
                                             int version, ErrorCode&) {
  is_head_request = method_verb == Verb::head;
  is_http_1_1 = version == 11;
  head.reserve(kHeadReserveBytes);
  head.append(method.data(), method.size());
  head += '\n';
  head.append(target.data(), target.size());
  head += '\n';
}

void RequestParser::Message::on_field_impl(Field field, View name, View value, ErrorCode& error) {
  if (is_folded(input, {name.data(), name.size()}, {value.data(), value.size()})) {
    return refuse(400, "Malformed request: a header goes on in the next line.\n", error);
  }
  // Trailers are checked and dropped: nothing reads them.
  if (in_trailers) return;
  check_field(field, value, error);
  if (!error) append_field(name, value);
}

void RequestParser::Message::check_field(Field field, View value, ErrorCode& error) {
  switch (field) {
    case Field::host:
      ++hosts;
      break;
    case Field::transfer_encoding:
      if (has_transfer_encoding || !is_http_1_1) {
        return refuse(400, "Malformed request: transfer-encoding.\n", error);
      }
      has_transfer_encoding = true;
      if (!boost::beast::iequals(value, "chunked")) {
        return refuse(501, "Only the transfer-encoding \"chunked\" is supported.\n", error);
      }
      break;
    case Field::expect:
      if (!boost::beast::iequals(value, "100-continue")) {
        return refuse(417, "Only the expectation \"100-continue\" is supported.\n", error);
      }
      expects_continue = is_http_1_1;
      break;
    default:
      break;
  }
}

void RequestParser::Message::append_field(View name, View value) {
  const auto at = head.size();
  head.append(name.data(), name.size());
  for (auto i = at; i < head.size(); ++i) head[i] = to_lower(head[i]);
  head += '\n';
  head.append(value.data(), value.size());
  head += '\n';
}

void RequestParser::Message::on_header_impl(ErrorCode& error) {
  if (hosts > 1 || (hosts == 0 && is_http_1_1)) {
    refuse(400, "Malformed request: exactly one host header is needed.\n", error);
  }
}

std::size_t RequestParser::Message::on_body_impl(View bytes, ErrorCode&) {
  body->append(bytes.data(), bytes.size());
  return bytes.size();
}

void RequestParser::Message::on_chunk_header_impl(std::uint64_t size, View, ErrorCode&) {
  chunk_left = size;
  // Only the last chunk has no bytes; what follows it are trailers.
  in_trailers = size == 0;
}

std::size_t RequestParser::Message::on_chunk_body_impl(std::uint64_t, View bytes, ErrorCode&) {
  body->append(bytes.data(), bytes.size());
  chunk_left -= bytes.size();
  return bytes.size();
}

}  // namespace perdure::front
